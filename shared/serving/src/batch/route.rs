//! Which model serves which inputs.

use std::fmt;
use std::str::FromStr;

use dunlin_registry::ModelRef;

use super::{Input, Work};

/// Where inputs come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Where {
    /// Objects whose key begins so.
    Prefix(String),
    /// A queue, by its name.
    Queue(String),
    /// A topic, by its name.
    Topic(String),
    /// A rule or schedule, by its name.
    Rule(String),
}

impl fmt::Display for Where {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Prefix(prefix) => f.write_str(prefix),
            Self::Queue(name) => write!(f, "queue:{name}"),
            Self::Topic(name) => write!(f, "topic:{name}"),
            Self::Rule(name) => write!(f, "rule:{name}"),
        }
    }
}

/// Routes, as in `inbox/digits/=digits, queue:jobs=faces@production`.
///
/// An object is served by the route with the longest prefix that fits it; what no prefix fits, by
/// the route of the queue, topic or rule that it came by.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Routes(Vec<(Where, ModelRef)>);

impl Routes {
    /// The model that serves this work, if any.
    pub(super) fn model(&self, work: &Work) -> Option<ModelRef> {
        if let Some(model) = &work.model {
            return Some(model.clone());
        }
        let prefix = match &work.input {
            Input::Object { key, .. } => self
                .prefixes()
                .filter(|(prefix, _)| key.starts_with(prefix))
                .max_by_key(|(prefix, _)| prefix.len()),
            _ => None,
        };
        let via = || {
            let via = work.via.as_ref()?;
            self.0.iter().find(|(place, _)| place == via)
        };
        prefix
            .map(|(_, model)| model)
            .or_else(|| via().map(|(_, model)| model))
            .cloned()
    }

    /// The prefixes, and who serves them.
    pub(super) fn prefixes(&self) -> impl Iterator<Item = (&str, &ModelRef)> {
        self.0.iter().filter_map(|(place, model)| match place {
            Where::Prefix(prefix) => Some((prefix.as_str(), model)),
            _ => None,
        })
    }
}

impl FromStr for Routes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut routes: Vec<(Where, ModelRef)> = Vec::new();
        for route in text
            .split(',')
            .map(str::trim)
            .filter(|route| !route.is_empty())
        {
            let Some((place, model)) = route.rsplit_once('=') else {
                return Err(format!(
                    "{route:?} is no route; one is WHERE=MODEL, as in inbox/digits/=digits or queue:jobs=digits"
                ));
            };
            let place = match place.split_once(':') {
                _ if place.is_empty() => return Err(format!("{route:?} does not say where from")),
                Some(("queue", name)) => Where::Queue(name.to_owned()),
                Some(("topic", name)) => Where::Topic(name.to_owned()),
                Some(("rule", name)) => Where::Rule(name.to_owned()),
                _ => Where::Prefix(place.to_owned()),
            };
            let model = model
                .parse()
                .map_err(|error| format!("{route:?}: {error}"))?;
            if routes.iter().any(|(other, _)| *other == place) {
                return Err(format!("{place} has two routes"));
            }
            routes.push((place, model));
        }
        Ok(Self(routes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(routes: &str, work: &Work) -> Option<String> {
        let routes: Routes = routes.parse().unwrap();
        routes.model(work).map(|model| model.to_string())
    }

    #[test]
    fn the_longest_prefix_then_the_way_it_came() {
        let routes = "in/=a, in/deep/=b@2 ,queue:jobs=c,topic:jobs=d,rule:nightly=e@production,";
        for (key, via, want) in [
            ("in/x.png", None, Some("a")),
            ("in/deep/x.png", None, Some("b@2")),
            (
                "in/deep/x.png",
                Some(Where::Queue("jobs".into())),
                Some("b@2"),
            ),
            ("out/x.png", Some(Where::Queue("jobs".into())), Some("c")),
            ("out/x.png", Some(Where::Topic("jobs".into())), Some("d")),
            (
                "out/x.png",
                Some(Where::Rule("nightly".into())),
                Some("e@production"),
            ),
            ("out/x.png", Some(Where::Rule("hourly".into())), None),
            ("out/x.png", None, None),
        ] {
            let mut work = Work::object(key);
            work.via = via;
            assert_eq!(served(routes, &work).as_deref(), want, "{work:?}");
            work.model = Some("own@7".parse().unwrap());
            assert_eq!(served(routes, &work).as_deref(), Some("own@7"));
        }
    }

    #[test]
    fn what_is_no_route_is_told() {
        for (text, words) in [
            ("digits", "WHERE=MODEL"),
            ("=digits", "where from"),
            ("in/=../x", "in/=../x"),
            ("in/=a,in/=b", "two routes"),
            ("queue:q=", "queue:q="),
        ] {
            let error = text.parse::<Routes>().unwrap_err();
            assert!(error.contains(words), "{text}: {error}");
        }
        assert_eq!(" , ".parse(), Ok(Routes::default()));
    }
}
