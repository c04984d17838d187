//! A template's text: YAML or JSON, with `CloudFormation`'s short forms of intrinsics.

use std::path::Path;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use saphyr_parser::{Event, Parser};
use serde_json::{Map, Value, json};

use crate::exit::{Exit, Failure};

/// `CloudFormation` itself takes no larger template.
const LIMIT: u64 = 1 << 20;

/// Reads a template.
pub(super) fn read(path: &Path) -> Result<Value, Failure> {
    let failure = |error| Failure::file(path, &error);
    let size = std::fs::metadata(path).map_err(failure)?.len();
    if size > LIMIT {
        return Err(Exit::Usage.failure(format!(
            "{}: a template has {LIMIT} bytes at most, this one {size}",
            path.display()
        )));
    }
    let text = std::fs::read_to_string(path).map_err(failure)?;
    parse(&text).map_err(|why| Exit::Usage.failure(format!("{}: {why}", path.display())))
}

fn parse(text: &str) -> Result<Value, String> {
    // Aliases are copied as the document is read, so that a small one may become a huge one.
    for event in Parser::new_from_str(text) {
        if let (Event::Alias(_), _) = event.map_err(|error| error.to_string())? {
            return Err("CloudFormation knows no aliases".to_owned());
        }
    }
    let documents = Yaml::load_from_str(text).map_err(|error| error.to_string())?;
    match documents.as_slice() {
        [document] => value(document),
        _ => Err("a template is one YAML document".to_owned()),
    }
}

fn value(node: &Yaml) -> Result<Value, String> {
    Ok(match node {
        Yaml::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => json!(value),
            Scalar::Integer(value) => json!(value),
            Scalar::FloatingPoint(value) => json!(value.into_inner()),
            Scalar::String(value) => json!(value),
        },
        Yaml::Sequence(items) => items.iter().map(value).collect::<Result<_, _>>()?,
        Yaml::Mapping(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                let key = match value(key)? {
                    Value::String(key) => key,
                    key @ (Value::Number(_) | Value::Bool(_)) => key.to_string(),
                    _ => return Err("a key is no text".to_owned()),
                };
                map.insert(key, value(item)?);
            }
            Value::Object(map)
        }
        Yaml::Tagged(tag, item) => {
            let name = match tag.suffix.as_str() {
                name @ ("Ref" | "Condition") => name.to_owned(),
                name => format!("Fn::{name}"),
            };
            json!({ name: value(item)? })
        }
        Yaml::Representation(..) | Yaml::Alias(_) | Yaml::BadValue => {
            return Err("CloudFormation knows no such YAML".to_owned());
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_forms_are_made_long() {
        for (text, want) in [
            ("a: !Ref B", json!({"a": {"Ref": "B"}})),
            (
                "a: !If [C, !Sub 'x${Y}', 3]",
                json!({"a": {"Fn::If": ["C", {"Fn::Sub": "x${Y}"}, 3]}}),
            ),
            ("60: {Visibility: 365}", json!({"60": {"Visibility": 365}})),
            (
                r#"{"a": ["1", true, null]}"#,
                json!({"a": ["1", true, null]}),
            ),
        ] {
            assert_eq!(parse(text).unwrap(), want, "{text}");
        }
    }

    #[test]
    fn what_is_no_template_is_refused() {
        for text in [
            "",
            "a: [",
            "a: 1\n---\nb: 2",
            "a: &x 1\nb: *x",
            "? [1]\n: 2",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
    }
}
