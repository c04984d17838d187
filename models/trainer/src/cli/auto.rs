//! What can be said to `auto`.

use std::iter;
use std::sync::LazyLock;
use std::time::Duration;

use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};

use crate::recipes::Recipe;
use crate::{Error, Result};

/// The time for a training, if nobody says it.
const USUAL: Duration = Duration::from_mins(30);

/// A recipe, or the one that suits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// The one that suits.
    Auto,
    /// This one.
    Recipe(Recipe),
}

impl Wanted {
    /// The name, as it is typed.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Recipe(recipe) => recipe.name(),
        }
    }
}

impl ValueEnum for Wanted {
    fn value_variants<'a>() -> &'a [Self] {
        static ALL: LazyLock<Vec<Wanted>> = LazyLock::new(|| {
            let recipes = Recipe::value_variants().iter().copied();
            iter::once(Wanted::Auto)
                .chain(recipes.map(Wanted::Recipe))
                .collect()
        });
        &ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Auto => Some(PossibleValue::new("auto").help(
                "The recipe for this kind of data, as wide as its amount is worth, for as long as --budget says",
            )),
            Self::Recipe(recipe) => recipe.to_possible_value(),
        }
    }
}

/// How a recipe is chosen.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "The recipe auto")]
pub(crate) struct AutoArgs {
    /// How long the training may take, as 90s, 30m or 2h [default: 30m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    budget: Option<Duration>,
    /// Try several networks in half of the time, and go on with the best
    #[arg(long)]
    pub(crate) compare: bool,
}

impl AutoArgs {
    pub(crate) fn budget(&self) -> Duration {
        self.budget.unwrap_or(USUAL)
    }

    /// Refuses what a recipe that was named would not heed.
    pub(crate) fn check(&self, wanted: Wanted) -> Result<()> {
        if wanted == Wanted::Auto || self.budget.is_none() && !self.compare {
            return Ok(());
        }
        let name = wanted.name();
        Err(Error::usage(format!(
            "--budget and --compare are for the recipe auto, not for {name}: say --epochs"
        )))
    }
}

fn time(text: &str) -> Result<Duration, String> {
    let form = || format!("\"{text}\" is no time as 90s, 30m or 2h");
    let unit = text.char_indices().last().ok_or_else(form)?;
    let seconds = match unit.1 {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(form()),
    };
    let count: u32 = text[..unit.0].parse().map_err(|_| form())?;
    match count {
        0 => Err("it must be more than 0".to_owned()),
        1..=1_000_000 => Ok(Duration::from_secs(u64::from(count) * seconds)),
        _ => Err(form()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times() {
        for (text, seconds) in [("90s", 90), ("30m", 1800), ("2h", 7200)] {
            assert_eq!(time(text), Ok(Duration::from_secs(seconds)));
        }
        for text in [
            "",
            "m",
            "30",
            "0m",
            "-1h",
            "1.5h",
            "9999999999h",
            "3 m",
            "3µ",
        ] {
            assert!(time(text).is_err(), "{text}");
        }
    }
}
