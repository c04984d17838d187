//! Parameters and conditions of one template.
//!
//! <https://docs.aws.amazon.com/AWSCloudFormation/latest/TemplateReference/intrinsic-function-reference-conditions.html>

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

/// Conditions that name each other in a circle end here.
const DEPTH: usize = 32;

/// The parameters of a template, and its conditions.
#[derive(Debug)]
pub(super) struct Scope {
    parameters: BTreeMap<String, Value>,
    conditions: Map<String, Value>,
}

impl Scope {
    /// With these parameters; the rest have their defaults.
    pub(super) fn new(template: &Value, given: BTreeMap<String, Value>) -> Result<Self, String> {
        let declared = template["Parameters"].as_object();
        let declared = declared.cloned().unwrap_or_default();
        for (name, value) in &given {
            let Some(said) = declared.get(name) else {
                let known: Vec<_> = declared.keys().map(String::as_str).collect();
                let known = known.join(", ");
                return Err(format!("it has no parameter {name}; it has {known}"));
            };
            if let Some(allowed) = said["AllowedValues"].as_array()
                && !allowed.iter().any(|one| text(one) == text(value))
            {
                let allowed: Vec<_> = allowed.iter().map(text).collect();
                let allowed = allowed.join(", ");
                return Err(format!("{name} is one of {allowed}, not {}", text(value)));
            }
        }
        let defaults = declared.into_iter().map(|(name, said)| {
            let default = said.get("Default").cloned().unwrap_or(Value::Null);
            (name, default)
        });
        let mut parameters: BTreeMap<_, _> = defaults.collect();
        parameters.extend(given);
        let conditions = template["Conditions"].as_object();
        Ok(Self {
            parameters,
            conditions: conditions.cloned().unwrap_or_default(),
        })
    }

    /// The value of a parameter, as text.
    pub(super) fn parameter(&self, name: &str) -> String {
        self.parameters.get(name).map(text).unwrap_or_default()
    }

    /// Whether a resource is there at all.
    pub(super) fn includes(&self, resource: &Value) -> Result<bool, String> {
        match resource.get("Condition").and_then(Value::as_str) {
            Some(name) => self.named(name, DEPTH),
            None => Ok(true),
        }
    }

    /// A value with the parameters put in. What only AWS knows is null.
    pub(super) fn value(&self, value: &Value) -> Result<Value, String> {
        Ok(match intrinsic(value) {
            None if value.is_object() => Value::Null,
            None => value.clone(),
            Some(("Ref", name)) => {
                let named = name.as_str().and_then(|name| self.parameters.get(name));
                named.cloned().unwrap_or(Value::Null)
            }
            Some(("Fn::If", branches)) => {
                let [condition, yes, no] = arguments(branches)?;
                let name = condition.as_str().ok_or("Fn::If names a condition")?;
                let branch = if self.named(name, DEPTH)? { yes } else { no };
                self.value(branch)?
            }
            Some(_) => Value::Null,
        })
    }

    fn named(&self, name: &str, depth: usize) -> Result<bool, String> {
        let condition = self.conditions.get(name);
        let condition = condition.ok_or_else(|| format!("there is no condition {name}"))?;
        if depth == 0 {
            return Err(format!("the condition {name} is a circle"));
        }
        self.holds(condition, depth - 1)
    }

    fn holds(&self, condition: &Value, depth: usize) -> Result<bool, String> {
        if depth == 0 {
            return Err(format!(
                "conditions are nested too deep, or in a circle: {condition}"
            ));
        }
        let (name, argument) = intrinsic(condition).ok_or("a condition is one intrinsic")?;
        let each = || argument.as_array().into_iter().flatten();
        match name {
            "Condition" => self.named(argument.as_str().unwrap_or_default(), depth),
            "Fn::Equals" => {
                let [one, other] = arguments(argument)?;
                Ok(text(&self.value(one)?) == text(&self.value(other)?))
            }
            "Fn::Not" => {
                let [one] = arguments(argument)?;
                Ok(!self.holds(one, depth - 1)?)
            }
            "Fn::And" => each().try_fold(true, |all, one| Ok(all & self.holds(one, depth - 1)?)),
            "Fn::Or" => each().try_fold(false, |any, one| Ok(any | self.holds(one, depth - 1)?)),
            other => Err(format!("a condition can't be {other}")),
        }
    }
}

/// The name and the argument of an intrinsic, if the value is one.
fn intrinsic(value: &Value) -> Option<(&str, &Value)> {
    let (name, argument) = value
        .as_object()
        .filter(|map| map.len() == 1)?
        .iter()
        .next()?;
    let known = name == "Ref" || name == "Condition" || name.starts_with("Fn::");
    known.then_some((name, argument))
}

fn arguments<const N: usize>(value: &Value) -> Result<&[Value; N], String> {
    let items = value
        .as_array()
        .and_then(|items| items.as_slice().try_into().ok());
    items.ok_or_else(|| format!("{N} arguments are wanted"))
}

/// Parameters are compared as text: 1 is "1".
fn text(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => json!(other).to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(given: &[(&str, &str)]) -> Result<Scope, String> {
        let template = json!({
            "Parameters": {
                "Admin": {"Default": "off", "AllowedValues": ["off", "IAM"]},
                "Count": {"Default": -1},
            },
            "Conditions": {
                "HasAdmin": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Admin"}, "off"]}]},
                "Counted": {"Fn::Not": [{"Fn::Equals": [{"Ref": "Count"}, -1]}]},
                "Both": {"Fn::And": [{"Condition": "HasAdmin"}, {"Condition": "Counted"}]},
                "Either": {"Fn::Or": [{"Condition": "HasAdmin"}, {"Condition": "Counted"}]},
                "Circle": {"Condition": "Circle"},
            },
        });
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)));
        Scope::new(&template, given.collect())
    }

    #[test]
    fn conditions_follow_the_parameters() {
        for (given, want) in [
            (&[][..], [false, false, false, false]),
            (&[("Admin", "IAM")], [true, false, false, true]),
            (&[("Count", "-1")], [false, false, false, false]),
            (
                &[("Count", "5"), ("Admin", "IAM")],
                [true, true, true, true],
            ),
        ] {
            let scope = scope(given).unwrap();
            let named = ["HasAdmin", "Counted", "Both", "Either"];
            let held = named.map(|name| scope.includes(&json!({"Condition": name})).unwrap());
            assert_eq!(held, want, "{given:?}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        assert!(scope(&[("Nope", "1")]).unwrap_err().contains("Nope"));
        assert!(scope(&[("Admin", "all")]).unwrap_err().contains("off, IAM"));
        let scope = scope(&[]).unwrap();
        for name in ["Circle", "Nowhere"] {
            let error = scope.includes(&json!({"Condition": name})).unwrap_err();
            assert!(error.contains(name), "{error}");
        }
    }

    #[test]
    fn values_that_only_aws_knows_are_null() {
        let scope = scope(&[]).unwrap();
        for (value, want) in [
            (json!({"Ref": "Admin"}), json!("off")),
            (
                json!({"Fn::If": ["HasAdmin", "yes", {"Ref": "Count"}]}),
                json!(-1),
            ),
            (json!({"Fn::GetAtt": "X.Arn"}), Value::Null),
            (json!({"Ref": "X"}), Value::Null),
            (json!("text"), json!("text")),
        ] {
            assert_eq!(scope.value(&value).unwrap(), want, "{value}");
        }
    }
}
