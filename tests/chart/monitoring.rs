//! Alert rules and dashboard: that they are rendered as they are written, and ask for metrics and pages that exist.
//! scripts/ci/monitoring.sh runs them in a real Prometheus.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::stage::{CHART, kind, one, render, template};

fn file(name: &str) -> String {
    std::fs::read_to_string(Path::new(CHART).join("files/monitoring").join(name)).unwrap()
}

fn page(name: &str) -> String {
    std::fs::read_to_string(Path::new(CHART).join("../../docs").join(name)).unwrap()
}

/// The rules of the file.
fn rules() -> Vec<Value> {
    let file: Value = serde_saphyr::from_str(&file("alerts.yaml")).unwrap();
    let groups = file["groups"].as_array().unwrap().clone();
    groups.iter().flat_map(|group| group["rules"].as_array().unwrap().clone()).collect()
}

/// The names of metrics in a query, without what a histogram adds to them.
fn metrics(query: &str) -> BTreeSet<String> {
    let words = query.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|w| w.starts_with("poolkeeper_")).map(|w| w.trim_end_matches("_bucket").to_owned()).collect()
}

#[test]
fn each_query_asks_for_metrics_that_exist() {
    let known = page("metrics.md");
    let dashboard: Value = serde_json::from_str(&file("dashboard.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let targets = panels.iter().flat_map(|panel| panel["targets"].as_array().into_iter().flatten());
    let queries: Vec<String> = targets.chain(&rules()).map(|t| t["expr"].as_str().unwrap().to_owned()).collect();
    assert!(queries.len() > 20);
    for query in queries {
        let names = metrics(&query);
        assert!(!names.is_empty(), "{query}");
        for name in names {
            assert!(known.contains(&format!("| `{name}` |")), "docs/metrics.md has no {name}, which is in: {query}");
        }
    }
}

#[test]
fn each_alert_has_a_section_that_it_links_to() {
    let known = page("operations.md");
    for rule in rules() {
        let name = rule["alert"].as_str().unwrap();
        let link = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(link.ends_with(&format!("/docs/operations.md#alert-{}", name.to_lowercase())), "{link}");
        assert!(known.contains(&format!("\n### Alert: {name}\n")), "docs/operations.md has no section for {name}");
    }
}

#[test]
fn rules_are_rendered_as_they_are_written() {
    let Some(objects) = render(&["--set=metrics.prometheusRule.enabled=true"]) else { return };
    let rendered = &one(&objects, "PrometheusRule", "pk-poolkeeper")["spec"]["groups"][0]["rules"];
    assert_eq!(rendered.as_array().unwrap(), &rules());

    let other = "metrics.prometheusRule.enabled=true,metrics.prometheusRule.runbookUrl=https://wiki/pools,\
                 metrics.prometheusRule.disabled={PoolkeeperPoolRests},metrics.prometheusRule.labels.release=prom";
    let Some(objects) = render(&["--set", other]) else { return };
    let object = one(&objects, "PrometheusRule", "pk-poolkeeper");
    assert_eq!(object["metadata"]["labels"]["release"], "prom");
    let rendered = object["spec"]["groups"][0]["rules"].as_array().unwrap();
    assert_eq!(rendered.len(), rules().len() - 1);
    for rule in rendered {
        assert_ne!(rule["alert"], "PoolkeeperPoolRests");
        let link = rule["annotations"]["runbook_url"].as_str().unwrap();
        assert!(link.starts_with("https://wiki/pools#alert-poolkeeper"), "{link}");
    }

    let unknown = "--set=metrics.prometheusRule.enabled=true,metrics.prometheusRule.disabled={PoolkeeperRests}";
    let Some(refused) = template(&[unknown]) else { return };
    let refused = refused.unwrap_err();
    assert!(refused.contains("there is no alert PoolkeeperRests. The alerts: PoolkeeperNoLeader, "), "{refused}");
}

#[test]
fn the_dashboard_is_where_grafana_looks_for_it() {
    let Some(objects) =
        render(&["--set=metrics.dashboard.enabled=true,metrics.dashboard.namespace=grafana", "--set=replicas=1"])
    else {
        return;
    };
    let map = one(&objects, "ConfigMap", "pk-poolkeeper-dashboard");
    assert_eq!(
        (&map["metadata"]["namespace"], &map["metadata"]["labels"]["grafana_dashboard"]),
        (&"grafana".into(), &"1".into())
    );
    assert_eq!(map["data"]["poolkeeper.json"].as_str().unwrap(), file("dashboard.json"));

    let Some(alone) = render(&[]) else { return };
    for of in ["PrometheusRule", "ConfigMap"] {
        assert_eq!(kind(&alone, of).count(), 0, "{of}");
    }
}
