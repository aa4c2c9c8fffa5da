//! From protobuf to JSON, for the built-in kinds: kubectl and Go's client send those as protobuf. Responses are JSON, which
//! all of them accept.
use base64::Engine;
use jiff::Timestamp;
use serde_json::{Map, Value, json};

/// The media type.
pub(crate) const MEDIA: &str = "application/vnd.kubernetes.protobuf";

/// The first bytes of every body. A message follows, with the type of the object and the object.
const MAGIC: &[u8] = b"k8s\0";

/// The messages, and their fields that are read: number, name, type. Other fields are skipped.
///
/// Go's messages hold empty values too. Those that its JSON leaves out are left out here: empty `string`s, a `count` of 0, and
/// messages without fields. `given` is a string that may be empty, `number` a number that may be 0.
const MESSAGES: &str = "
Type: 1 apiVersion string, 2 kind string
Owner: 1 kind string, 3 name string, 4 uid string, 5 apiVersion string, 6 controller flag, 7 blockOwnerDeletion flag
Meta: 1 name string, 2 generateName string, 3 namespace string, 5 uid string, 6 resourceVersion string, 7 generation count, \
      8 creationTimestamp time, 9 deletionTimestamp time, 10 deletionGracePeriodSeconds number, 11 labels string-map, \
      12 annotations string-map, 13 ownerReferences []Owner, 14 finalizers strings
v1/Secret: 1 metadata Meta, 2 data bytes-map, 3 type string, 4 stringData string-map, 5 immutable flag
NamespaceSpec: 1 finalizers strings
NamespaceStatus: 1 phase string
v1/Namespace: 1 metadata Meta, 2 spec NamespaceSpec, 3 status NamespaceStatus
LeaseSpec: 1 holderIdentity given, 2 leaseDurationSeconds number, 3 acquireTime micro-time, 4 renewTime micro-time, \
      5 leaseTransitions number, 6 strategy given, 7 preferredHolder given
coordination.k8s.io/v1/Lease: 1 metadata Meta, 2 spec LeaseSpec
Reference: 1 kind string, 2 namespace string, 3 name string, 4 uid string, 5 apiVersion string, 6 resourceVersion string, 7 fieldPath string
Source: 1 component string, 2 host string
Series: 1 count count, 2 lastObservedTime micro-time
v1/Event: 1 metadata Meta, 2 involvedObject Reference, 3 reason string, 4 message string, 5 source Source, 6 firstTimestamp time, \
      7 lastTimestamp time, 8 count count, 9 type string, 10 eventTime micro-time, 11 series Series, 12 action string, \
      13 related Reference, 14 reportingComponent string, 15 reportingInstance string
events.k8s.io/v1/Event: 1 metadata Meta, 2 eventTime micro-time, 3 series Series, 4 reportingController string, \
      5 reportingInstance string, 6 action string, 7 reason string, 8 regarding Reference, 9 related Reference, 10 note string, \
      11 type string, 12 deprecatedSource Source, 13 deprecatedFirstTimestamp time, 14 deprecatedLastTimestamp time, \
      15 deprecatedCount count
Preconditions: 1 uid given, 2 resourceVersion given
DeleteOptions: 1 gracePeriodSeconds number, 2 preconditions Preconditions, 3 orphanDependents flag, \
      4 propagationPolicy given, 5 dryRun strings
Access: 1 namespace string, 2 verb string, 3 group string, 4 version string, 5 resource string, 6 subresource string, 7 name string
OtherAccess: 1 path string, 2 verb string
AccessSpec: 1 resourceAttributes Access, 2 nonResourceAttributes OtherAccess
authorization.k8s.io/v1/SelfSubjectAccessReview: 1 metadata Meta, 2 spec AccessSpec
RulesSpec: 1 namespace string
authorization.k8s.io/v1/SelfSubjectRulesReview: 1 metadata Meta, 2 spec RulesSpec
";

/// The fields of a message. None: there is no such message.
fn message(name: &str) -> Option<impl Iterator<Item = (u64, &'static str, &'static str)> + Clone> {
    let found = MESSAGES.lines().filter_map(|line| line.split_once(": ")).find(|(found, _)| *found == name);
    found.map(|(_, fields)| {
        fields.split(", ").filter_map(|field| {
            let mut words = field.split_whitespace();
            Some((words.next()?.parse().ok()?, words.next()?, words.next()?))
        })
    })
}

/// The object in a body. None: the body is damaged, or of a kind that is not known.
pub(crate) fn object(body: &[u8]) -> Option<Value> {
    let envelope = fields(body.strip_prefix(MAGIC)?)?;
    let part = |number| envelope.iter().find(|(n, _)| *n == number).and_then(|(_, wire)| wire.bytes());
    let types = read("Type", part(1)?)?;
    let name = match (types.get("apiVersion")?.as_str()?, types.get("kind")?.as_str()?) {
        (_, "DeleteOptions") => "DeleteOptions".to_owned(),
        (version, kind) => format!("{version}/{kind}"),
    };
    let mut object = read(&name, part(2).unwrap_or_default())?;
    object.extend(types);
    Some(Value::Object(object))
}

fn read(name: &str, bytes: &[u8]) -> Option<Map<String, Value>> {
    let message = message(name)?;
    let mut object = Map::new();
    for (number, wire) in fields(bytes)? {
        let Some((_, name, kind)) = message.clone().find(|(n, ..)| *n == number) else { continue };
        let value = match kind {
            "string" => wire.text().map(|text| if text.is_empty() { Value::Null } else { text.into() })?,
            "given" => wire.text()?.into(),
            "strings" => vec![Value::from(wire.text()?)].into(),
            "string-map" | "bytes-map" => {
                let entry = fields(wire.bytes()?)?;
                let part =
                    |number| entry.iter().find(|(n, _)| *n == number).map_or(Wire::Bytes(&[]), |(_, wire)| *wire);
                let value = match kind {
                    "string-map" => part(2).text()?.to_owned(),
                    _ => base64::engine::general_purpose::STANDARD.encode(part(2).bytes()?),
                };
                json!({part(1).text()?: value})
            }
            "flag" => (wire.number()? != 0).into(),
            "number" => wire.number()?.into(),
            "count" => wire.number().map(|n| if n == 0 { Value::Null } else { n.into() })?,
            "time" => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%SZ")?,
            "micro-time" => time(wire.bytes()?, "%Y-%m-%dT%H:%M:%S.%6fZ")?,
            _ => match kind.strip_prefix("[]") {
                Some(items) => vec![Value::Object(read(items, wire.bytes()?)?)].into(),
                None => Some(read(kind, wire.bytes()?)?).filter(|part| !part.is_empty()).into(),
            },
        };
        match (object.get_mut(name), value) {
            (_, Value::Null) => {}
            // A list or a map is sent item by item.
            (Some(Value::Array(list)), Value::Array(more)) => list.extend(more),
            (Some(Value::Object(map)), Value::Object(more)) => map.extend(more),
            (_, value) => _ = object.insert(name.into(), value),
        }
    }
    Some(object)
}

/// A time. One without seconds is none.
fn time(bytes: &[u8], format: &str) -> Option<Value> {
    let parts = fields(bytes)?;
    let part = |number| parts.iter().find(|(n, _)| *n == number).map(|(_, wire)| wire.number());
    let Some(seconds) = part(1) else { return Some(Value::Null) };
    let nanos = i32::try_from(part(2).unwrap_or(Some(0))?).ok()?;
    let time = Timestamp::new(seconds?, nanos).ok()?;
    Some(time.strftime(format).to_string().into())
}

/// A field as it is sent.
#[derive(Clone, Copy)]
enum Wire<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Wire<'a> {
    fn number(self) -> Option<i64> {
        // Negative numbers are sent in two's complement.
        if let Self::Number(n) = self { Some(n.cast_signed()) } else { None }
    }

    fn bytes(self) -> Option<&'a [u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    fn text(self) -> Option<&'a str> {
        std::str::from_utf8(self.bytes()?).ok()
    }
}

/// The fields of a message, by number. None: it is damaged.
fn fields(mut bytes: &[u8]) -> Option<Vec<(u64, Wire<'_>)>> {
    let mut fields = Vec::new();
    while !bytes.is_empty() {
        let key = varint(&mut bytes)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(&mut bytes)?),
            1 => Wire::Bytes(bytes.split_off(..8)?),
            2 => {
                let length = usize::try_from(varint(&mut bytes)?).ok()?;
                Wire::Bytes(bytes.split_off(..length)?)
            }
            5 => Wire::Bytes(bytes.split_off(..4)?),
            _ => return None,
        };
        fields.push((key >> 3, wire));
    }
    Some(fields)
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let byte = bytes.split_off_first()?;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_of_a_field_is_known() {
        let lines = MESSAGES.lines().filter_map(|line| line.split_once(": "));
        for (name, text) in lines {
            let fields: Vec<_> = message(name).unwrap().collect();
            assert_eq!(fields.len(), text.split(", ").count(), "{name}");
            for (_, field, kind) in fields {
                let known = kind.starts_with(|c: char| c.is_ascii_lowercase());
                assert!(known || message(kind.trim_start_matches("[]")).is_some(), "{name}: {field} {kind}");
            }
        }
    }

    #[test]
    fn a_damaged_body_is_no_object() {
        // A Namespace that is called `a`.
        let body = b"k8s\0\x0a\x0f\x0a\x02v1\x12\x09Namespace\x12\x05\x0a\x03\x0a\x01a";
        assert_eq!(object(body), Some(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "a"}})));
        for end in 0..body.len() {
            let whole = object(&body[..end]).is_none_or(|object| object["metadata"]["name"].is_null());
            assert!(whole, "{end}");
        }
    }
}
