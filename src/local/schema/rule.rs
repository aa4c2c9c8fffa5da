//! Validation rules (`x-kubernetes-validations`), compiled with kube-cel.
use kube_cel::{CompilationError, CompilationResult};
use serde_json::{Value, json};

/// One compiled rule.
#[derive(Debug)]
pub(crate) struct Rule(pub CompilationResult);

impl Rule {
    /// Compiles the rules of one schema node.
    ///
    /// # Errors
    /// The first rule or message expression that does not compile.
    pub fn compile_all(schema: &Value) -> Result<Vec<Self>, String> {
        let Some(rules) = schema.get("x-kubernetes-validations") else { return Ok(Vec::new()) };
        if rules.as_array().is_some_and(|l| l.iter().any(|r| r["optionalOldSelf"] == Value::Bool(true))) {
            return Err("optionalOldSelf is not supported".into());
        }
        let compiled = kube_cel::compile_schema(&json!({"x-kubernetes-validations": rules}));
        compiled.validations.into_iter().map(|r| r.map(Self).map_err(|e: CompilationError| e.to_string())).collect()
    }

    /// Whether it reads `oldSelf`, the value before a change.
    pub fn is_transition(&self) -> bool {
        self.0.is_transition_rule
    }
}
