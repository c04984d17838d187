//! What holds of every store: one suite, run against each of them.
//!
//! All cases run, side by side, each below a folder of its own; every failure is reported.

mod downloads;
mod lists;
mod objects;
mod races;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Instant;

use dunlin_storage::{ErrorKind, ObjectKey, Result, Store};

/// The suite needs a store whose `get_limit` this is, ...
pub const GET_LIMIT: u64 = 1 << 20;
/// ... and whose `multipart_bytes` this is.
pub const MULTIPART_BYTES: usize = 6 << 20;

/// A store, and a folder there that is the case's own.
#[derive(Clone, Debug)]
struct Place {
    store: Arc<dyn Store>,
    folder: String,
}

impl Place {
    fn key(&self, name: &str) -> ObjectKey {
        ObjectKey::new(format!("{}/{name}", self.folder)).unwrap()
    }

    /// A prefix below the folder.
    fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }
}

type Run = fn(Place) -> Pin<Box<dyn Future<Output = ()> + Send>>;

struct Case {
    name: &'static str,
    run: Run,
}

/// `case!(module::function)`: a case named as its function.
macro_rules! case {
    ($module:ident :: $function:ident) => {
        Case {
            name: stringify!($function),
            run: |place| Box::pin($module::$function(place)),
        }
    };
}

const CASES: &[Case] = &[
    case!(objects::written_is_read),
    case!(objects::absent_is_not_found),
    case!(objects::only_if_absent),
    case!(objects::only_if_unchanged),
    case!(objects::etags_follow_content),
    case!(objects::ranges),
    case!(objects::starts),
    case!(objects::get_has_a_limit),
    case!(lists::odd_keys),
    case!(lists::prefixes_and_folders),
    case!(lists::folders_go_with_their_last_object),
    case!(lists::more_than_a_page),
    case!(objects::links_give_the_object),
    case!(objects::parts_keep_conditions),
    case!(races::one_creator_wins),
    case!(races::increments_are_not_lost),
    case!(races::readers_see_whole_objects),
    case!(races::cut_writers_leave_nothing_half),
    case!(races::folders_come_and_go),
    case!(downloads::every_size),
    case!(downloads::a_hundred_megabytes),
    case!(downloads::replaced_midway),
    case!(downloads::a_limit_is_kept),
    case!(downloads::stragglers_are_hedged),
];

/// Runs every case on the store and panics with all that failed, but for the known `exceptions`,
/// which are only told. Cleans up behind itself.
///
/// # Panics
/// If a case failed.
pub async fn run(store: Arc<dyn Store>, exceptions: &[&str]) {
    let root = format!("conformance-{:x}", unique());
    let tasks = CASES.iter().map(|case| {
        let place = Place {
            store: Arc::clone(&store),
            folder: format!("{root}/{}", case.name),
        };
        let start = Instant::now();
        let task = tokio::spawn((case.run)(place));
        async move { (case.name, task.await, start.elapsed()) }
    });
    let mut failures = Vec::new();
    for (name, result, elapsed) in futures_util::future::join_all(tasks).await {
        println!(
            "{}: {name} ({elapsed:.1?})",
            if result.is_ok() { "passed" } else { "FAILED" }
        );
        if let Err(stopped) = result
            && !exceptions.contains(&name)
        {
            failures.push(format!("{name}: {}", words(stopped)));
        }
    }
    let left = store.list(&format!("{root}/")).await.unwrap();
    for object in left {
        store.delete(&object.key).await.unwrap();
    }
    assert!(
        failures.is_empty(),
        "on {}:\n{}",
        store.url(),
        failures.join("\n")
    );
}

fn words(stopped: tokio::task::JoinError) -> String {
    match stopped.try_into_panic() {
        Ok(panic) => panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()))
            .unwrap_or_default(),
        Err(other) => other.to_string(),
    }
}

/// A number that no other run has, for stores that outlive a run.
fn unique() -> u128 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.unwrap().as_nanos() ^ u128::from(std::process::id())
}

/// Bytes that differ everywhere, so that no two ranges look alike.
#[must_use]
pub fn pattern(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("this must fail").kind()
}
