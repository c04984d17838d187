//! What the sender of an event is answered.

use dunlin_lambda::events::{Intake, Sender};
use dunlin_serving::batch::{Input, Outcome, Work};
use dunlin_serving::facts;
use lambda_runtime::Error;
use serde_json::{Value, json};

/// The function's answer: who asks directly is told of each input; others get back what was not
/// answered.
pub(crate) fn reply(intake: &Intake, outcomes: &[Outcome]) -> Result<Value, Error> {
    if intake.sender == Sender::Caller {
        let told = intake.works.iter().zip(outcomes);
        let told = told.map(|(work, outcome)| tell(work, outcome));
        return Ok(json!({"works": told.collect::<Vec<_>>()}));
    }
    let returned: Vec<Option<String>> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Returned(error) => Some(error.chain()),
            _ => None,
        })
        .collect();
    let done = json!({"done": count(outcomes, "done"), "dead": count(outcomes, "dead")});
    intake.give_back(&returned, done)
}

fn word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Done { .. } => "done",
        Outcome::Dead { .. } => "dead",
        Outcome::Ignored => "ignored",
        Outcome::Returned(_) => "returned",
    }
}

fn count(outcomes: &[Outcome], wanted: &str) -> usize {
    outcomes
        .iter()
        .filter(|outcome| word(outcome) == wanted)
        .count()
}

fn tell(work: &Work, outcome: &Outcome) -> Value {
    let input = match &work.input {
        Input::Object { key, .. } => key,
        Input::Payload { id, .. } | Input::Unreadable { id, .. } => id,
    };
    let mut told = json!({"input": input, "outcome": word(outcome)});
    match outcome {
        Outcome::Done { result, already } => {
            told["result"] = result.as_str().into();
            told["already"] = (*already).into();
        }
        Outcome::Dead { letter, reason } => {
            told["letter"] = letter.as_str().into();
            told["reason"] = reason.as_str().into();
        }
        Outcome::Returned(error) => {
            told["kind"] = facts(error.kind()).word.into();
            told["reason"] = error.to_string().into();
        }
        Outcome::Ignored => {}
    }
    told
}
