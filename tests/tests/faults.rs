//! Every input is answered once, whatever happens: messages delivered one to five times, in random
//! order, by eight workers that are killed (`kill -9`) at random points, over a store that fails
//! one call of ten and lags another.
//!
//! The workers are the built `bootstrap-batch`, each under AWS's Runtime Interface Emulator
//! (`DUNLIN_TEST_RIE` names it); the queue is that of this process, with what SQS promises: at
//! least once, in no order, and again for what was not deleted. `DUNLIN_TEST_INPUTS` says how many
//! inputs there are; docs/reliability.md has the counts of the whole suite.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use dunlin_publishing::{Candidate, CompileOptions, ProveOptions};
use dunlin_registry::Registry;
use dunlin_storage::{ObjectKey, PutCondition};
use dunlin_tests::hosts::{Emulator, Function, binary};
use dunlin_tests::requests::picture;
use dunlin_tests::s3_server::{BUCKET, S3Server, Weather};
use serde_json::{Value, json};
use tokio::sync::Mutex;

const WORKERS: usize = 8;

/// Messages of one invocation.
const BATCH: usize = 10;

/// Of so many inputs one is poison.
const POISON: usize = 20;

/// Deliveries that are still to come, and counts.
#[derive(Default)]
struct Queue {
    deliveries: Mutex<Vec<usize>>,
    under_way: AtomicUsize,
    invocations: AtomicUsize,
    delivered: AtomicUsize,
    returned: AtomicUsize,
    kills: AtomicUsize,
}

impl Queue {
    /// Some deliveries, at random; none when all are done.
    async fn take(&self) -> Vec<usize> {
        let mut deliveries = self.deliveries.lock().await;
        let count = BATCH.min(deliveries.len());
        let taken = (0..count).map(|_| {
            let place = fastrand::usize(0..deliveries.len());
            deliveries.swap_remove(place)
        });
        let taken: Vec<usize> = taken.collect();
        self.under_way.fetch_add(taken.len(), Ordering::SeqCst);
        taken
    }

    async fn settle(&self, taken: &[usize], returned: impl Fn(usize) -> bool) {
        let mut deliveries = self.deliveries.lock().await;
        let again = taken.iter().copied().filter(|input| returned(*input));
        let before = deliveries.len();
        deliveries.extend(again);
        self.returned
            .fetch_add(deliveries.len() - before, Ordering::Relaxed);
        self.under_way.fetch_sub(taken.len(), Ordering::SeqCst);
    }
}

fn key(input: usize) -> String {
    format!("inbox/{input:05}.png")
}

fn is_poison(input: usize) -> bool {
    input % POISON == POISON - 1
}

/// An SQS event; the messages of one input differ, as those of two notifications do.
fn event(taken: &[usize]) -> Value {
    let records = taken.iter().enumerate().map(|(place, input)| {
        json!({
            "messageId": format!("{input}/{place}"),
            "eventSource": "aws:sqs",
            "eventSourceARN": "arn:aws:sqs:us-east-1:123456789012:jobs",
            "body": json!({"object": format!("s3://{BUCKET}/{}", key(*input))}).to_string(),
            "attributes": {}, "messageAttributes": {},
        })
    });
    json!({"Records": records.collect::<Vec<_>>()})
}

struct Worker {
    queue: Arc<Queue>,
    emulator: Emulator,
    bootstrap: PathBuf,
    settings: Vec<(&'static str, String)>,
}

/// An invocation whose function is killed somewhere on the way, unless it is faster.
async fn cut_short(function: &Function, event: &Value) -> Option<Value> {
    let invoking = function.invoke(event);
    tokio::pin!(invoking);
    let life = Duration::from_millis(fastrand::u64(0..150));
    if let Ok(reply) = tokio::time::timeout(life, &mut invoking).await {
        return Some(reply);
    }
    function.kill_process();
    // Whatever the emulator says of it, nothing is deleted.
    let _ = tokio::time::timeout(Duration::from_secs(5), invoking).await;
    None
}

impl Worker {
    async fn run(self) {
        let mut function = Function::launch(&self.emulator, &self.bootstrap, &self.settings).await;
        loop {
            let taken = self.queue.take().await;
            if taken.is_empty() {
                if self.queue.under_way.load(Ordering::SeqCst) == 0 {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
                continue;
            }
            self.queue.invocations.fetch_add(1, Ordering::Relaxed);
            self.queue
                .delivered
                .fetch_add(taken.len(), Ordering::Relaxed);
            let event = event(&taken);
            // One invocation of eight meets its end, somewhere.
            let reply = if fastrand::u32(0..8) == 0 {
                if let Some(reply) = cut_short(&function, &event).await {
                    reply
                } else {
                    self.queue.kills.fetch_add(1, Ordering::Relaxed);
                    function =
                        Function::launch(&self.emulator, &self.bootstrap, &self.settings).await;
                    Value::Null
                }
            } else {
                function.invoke(&event).await
            };
            match reply["batchItemFailures"].as_array() {
                Some(failures) => {
                    let failed: BTreeSet<&str> = failures
                        .iter()
                        .filter_map(|failure| failure["itemIdentifier"].as_str())
                        .collect();
                    let failed: BTreeSet<usize> = failed
                        .iter()
                        .map(|id| {
                            id.split('/')
                                .next()
                                .and_then(|n| n.parse().ok())
                                .expect("an id")
                        })
                        .collect();
                    self.queue
                        .settle(&taken, |input| failed.contains(&input))
                        .await;
                }
                None => self.queue.settle(&taken, |_| true).await,
            }
        }
    }
}

#[allow(clippy::too_many_lines)] // One story, told in order.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_input_is_answered_once() {
    let Some(rie) = std::env::var_os("DUNLIN_TEST_RIE").map(PathBuf::from) else {
        eprintln!("skipped: DUNLIN_TEST_RIE is not set");
        return;
    };
    let Some(bootstrap) = binary("bootstrap-batch") else {
        eprintln!("skipped: `bootstrap-batch` is not built");
        return;
    };
    let inputs = std::env::var("DUNLIN_TEST_INPUTS").map_or(200, |n| n.parse().expect("a number"));
    let started = Instant::now();

    let server = S3Server::start().await;
    let options = server.options();
    let models = server.store("models", &options).await;
    let verified = tokio::task::spawn_blocking(|| {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../models/digits");
        let candidate = Candidate::read(folder.as_ref(), None).expect("it reads");
        let compiled = candidate.compile(&CompileOptions::default());
        compiled
            .expect("it compiles")
            .prove(&ProveOptions::default())
            .expect("it is proven")
    });
    let verified = verified.await.expect("no panic");
    let published = verified.publish(&Registry::new(models.clone()), None).await;
    published.expect("it is stored");
    let bucket = server.store("", &options).await;
    for input in 0..inputs {
        let bytes = if is_poison(input) {
            format!("poison {input}").into_bytes()
        } else {
            picture((input % 10) as u8)
        };
        let key = ObjectKey::new(key(input)).expect("a key");
        bucket
            .put(&key, bytes.into(), PutCondition::Always)
            .await
            .expect("it is stored");
    }

    let queue = Arc::new(Queue::default());
    let deliveries = (0..inputs).flat_map(|input| (0..fastrand::usize(1..=5)).map(move |_| input));
    queue.deliveries.lock().await.extend(deliveries);
    server.faults().weather(Weather {
        failing: 10,
        lagging: 10,
        lag: Duration::from_millis(50),
    });
    let credentials = options.credentials.clone().expect("the server has some");
    let workers = (0..WORKERS).map(|_| {
        let worker = Worker {
            queue: queue.clone(),
            emulator: Emulator::Aws(rie.clone()),
            bootstrap: bootstrap.clone(),
            settings: vec![
                ("DUNLIN_STORE", format!("s3://{BUCKET}/models")),
                ("DUNLIN_S3_ENDPOINT", server.endpoint()),
                ("DUNLIN_ROUTES", "inbox/=digits".to_owned()),
                ("AWS_ACCESS_KEY_ID", credentials.access_key_id.clone()),
                (
                    "AWS_SECRET_ACCESS_KEY",
                    credentials.secret_access_key.clone(),
                ),
            ],
        };
        tokio::spawn(worker.run())
    });
    for worker in workers.collect::<Vec<_>>() {
        worker.await.expect("no panic");
    }
    server.faults().weather(Weather {
        failing: 0,
        lagging: 0,
        lag: Duration::ZERO,
    });

    let (results, letters) = (
        read(&models, "results/").await,
        read(&models, "dead-letters/").await,
    );
    let poison = (0..inputs).filter(|input| is_poison(*input)).count();
    println!(
        "{inputs} inputs, {} deliveries in {} invocations by {WORKERS} workers, {} kills, {} deliveries \
         returned: {} results, {} dead letters, in {:.0?}",
        queue.delivered.load(Ordering::Relaxed),
        queue.invocations.load(Ordering::Relaxed),
        queue.kills.load(Ordering::Relaxed),
        queue.returned.load(Ordering::Relaxed),
        results.values().map(Vec::len).sum::<usize>(),
        letters.values().map(Vec::len).sum::<usize>(),
        started.elapsed()
    );
    for input in 0..inputs {
        let key = key(input);
        let (wanted, other) = if is_poison(input) {
            (&letters, &results)
        } else {
            (&results, &letters)
        };
        assert!(
            !other.contains_key(&key),
            "{key} has both, or the wrong one"
        );
        let documents = wanted.get(&key).map_or(&[][..], Vec::as_slice);
        let [document] = documents else {
            panic!("{key} has {}", documents.len())
        };
        if !is_poison(input) {
            let best = &document["answer"]["predictions"][0]["label"];
            assert_eq!(*best, (input % 10).to_string(), "{key}");
        }
    }
    assert_eq!((results.len(), letters.len()), (inputs - poison, poison));
}

/// The documents of each input.
async fn read(
    store: &Arc<dyn dunlin_storage::Store>,
    folder: &str,
) -> BTreeMap<String, Vec<Value>> {
    let mut documents: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for object in store.list(folder).await.expect("a list") {
        let bytes = store.get(&object.key).await.expect("it is there").bytes;
        let document: Value = serde_json::from_slice(&bytes).expect("JSON, whole");
        let address = document["input"]["object"].as_str().expect("an address");
        let key = address
            .trim_start_matches(&format!("s3://{BUCKET}/"))
            .to_owned();
        documents.entry(key).or_default().push(document);
    }
    documents
}
