//! A deployment's template (`CloudFormation` or SAM), as far as this program needs it: its parameters,
//! and which routes its API has.
//!
//! - `yaml`: the file, with the short forms of intrinsics (`!If`) made long (`{"Fn::If": …}`).
//! - `resolve`: parameters put in, conditions decided.

mod resolve;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use self::resolve::Scope;
use crate::exit::{Exit, Failure};

/// Stacks within stacks.
const DEPTH: usize = 4;

/// A template with its parameters.
#[derive(Debug)]
pub(crate) struct Template {
    path: PathBuf,
    text: Value,
    scope: Scope,
}

/// A route of the deployed API.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct DeployedRoute {
    pub(crate) method: String,
    pub(crate) path: String,
}

/// `NAME=VALUE`, as the command line takes a parameter.
pub(crate) fn parameter(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("NAME=VALUE is wanted")?;
    Ok((name.to_owned(), value.to_owned()))
}

impl Template {
    /// Reads a template; parameters that are not given have the template's defaults.
    pub(crate) fn read(path: &Path, given: &BTreeMap<String, String>) -> Result<Self, Failure> {
        let text = yaml::read(path)?;
        let given = given
            .iter()
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let scope = Scope::new(&text, given).map_err(|why| wrong(path, &why))?;
        Ok(Self {
            path: path.to_owned(),
            text,
            scope,
        })
    }

    /// The value of a parameter, as text; empty where it has none.
    pub(crate) fn parameter(&self, name: &str) -> String {
        self.scope.parameter(name)
    }

    /// Every route of the API that it deploys, in nested stacks too.
    pub(crate) fn routes(&self) -> Result<Vec<DeployedRoute>, Failure> {
        let mut routes = Vec::new();
        self.each(DEPTH, &mut |_, kind, properties| {
            if kind == "AWS::ApiGatewayV2::Route" {
                let key = properties["RouteKey"].as_str().unwrap_or_default();
                let (method, path) = key.split_once(' ').ok_or("RouteKey is METHOD PATH")?;
                routes.push(DeployedRoute {
                    method: method.to_owned(),
                    path: path.to_owned(),
                });
            }
            Ok(())
        })?;
        if routes.is_empty() {
            return Err(wrong(&self.path, "it has no AWS::ApiGatewayV2::Route"));
        }
        routes.sort();
        Ok(routes)
    }

    /// How many resources of each type it makes, in nested stacks too.
    pub(crate) fn resources(&self) -> Result<BTreeMap<String, usize>, Failure> {
        let mut counts = BTreeMap::new();
        self.each(DEPTH, &mut |_, kind, _| {
            *counts.entry(kind.to_owned()).or_default() += 1;
            Ok(())
        })?;
        Ok(counts)
    }

    /// Calls `of` with the name, type and properties of each resource that is there.
    fn each(
        &self,
        depth: usize,
        of: &mut dyn FnMut(&str, &str, &Value) -> Result<(), String>,
    ) -> Result<(), Failure> {
        let wrong = |why: &str| wrong(&self.path, why);
        let Some(resources) = self.text["Resources"].as_object() else {
            return Err(wrong("it has no Resources"));
        };
        for (name, resource) in resources {
            let named = |why: String| wrong(&format!("{name}: {why}"));
            if !self.scope.includes(resource).map_err(named)? {
                continue;
            }
            let kind = resource["Type"].as_str().unwrap_or_default();
            let properties = &resource["Properties"];
            of(name, kind, properties).map_err(named)?;
            let Some(url) = properties["TemplateURL"].as_str() else {
                continue;
            };
            // One that lies elsewhere is none of this folder's.
            if kind != "AWS::CloudFormation::Stack" || url.contains("://") {
                continue;
            }
            if depth == 0 {
                return Err(wrong(&format!("{name}: more than {DEPTH} stacks deep")));
            }
            self.nested(url, &properties["Parameters"])?
                .each(depth - 1, of)?;
        }
        Ok(())
    }

    fn nested(&self, url: &str, parameters: &Value) -> Result<Self, Failure> {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        let path = folder.join(url);
        let text = yaml::read(&path)?;
        let mut given = BTreeMap::new();
        for (name, value) in parameters.as_object().into_iter().flatten() {
            let value = self.scope.value(value);
            given.insert(name.clone(), value.map_err(|why| wrong(&self.path, &why))?);
        }
        let scope = Scope::new(&text, given).map_err(|why| wrong(&path, &why))?;
        Ok(Self { path, text, scope })
    }
}

fn wrong(path: &Path, why: &str) -> Failure {
    Exit::Usage.failure(format!("{}: {why}", path.display()))
}
