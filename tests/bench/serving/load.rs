//! Many connections at once: throughput against the bare engine, waits, and refusals.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use dunlin_protocol::{NamedTensor, Tensor};

use crate::client::Connection;
use crate::server::{QUEUE, Server};
use crate::{load_model, quantile, request};

const CONNECTIONS: usize = 64;
const THREADS: usize = 2;
const MODEL: &str = "busy";

/// What the 64 connections saw.
struct Seen {
    /// Times of the requests that were answered with 200.
    answered: Vec<Duration>,
    statuses: BTreeMap<u16, usize>,
    seconds: f64,
}

pub(crate) fn measure(server: &Server, input: &Tensor, time: Duration) {
    // Before and after: a machine that changes its pace meanwhile shows.
    let before = bare(input, time / 2);
    let within = connections(server, input, CONNECTIONS, time);
    let after = bare(input, time / 2);
    let bare = f64::midpoint(before, after);
    let rate = within.answered.len() as f64 / within.seconds;
    println!(
        "| bare engine, {THREADS} threads, runs a second (before, after) | {before:.1}, {after:.1} |"
    );
    println!("| one run | {:.2} ms |", THREADS as f64 * 1e3 / bare);
    println!("| served, answers a second | {rate:.1} |");
    println!(
        "| **served / bare** (limit 95 %) | **{:.1} %** |",
        100.0 * rate / bare
    );
    println!(
        "| p50 | {:.0} ms |",
        quantile(&within.answered, 0.5).as_secs_f64() * 1e3
    );
    println!(
        "| p99 | {:.0} ms |",
        quantile(&within.answered, 0.99).as_secs_f64() * 1e3
    );
    let bound = (QUEUE + THREADS) as f64 / bare;
    println!(
        "| what a full queue of {QUEUE} takes | {:.0} ms |",
        bound * 1e3
    );
    println!("| answers by status | {} |", statuses(&within.statuses));

    let beyond = connections(server, input, 2 * QUEUE, time / 2);
    println!(
        "| {} connections: answers by status | {} |",
        2 * QUEUE,
        statuses(&beyond.statuses)
    );
    println!(
        "| {} connections: p99 of 200s | {:.0} ms |",
        2 * QUEUE,
        quantile(&beyond.answered, 0.99).as_secs_f64() * 1e3
    );
}

fn statuses(statuses: &BTreeMap<u16, usize>) -> String {
    let counts: Vec<String> = statuses
        .iter()
        .map(|(status, count)| format!("{status}: {count}"))
        .collect();
    counts.join(", ")
}

/// Runs a second of the engine alone.
fn bare(input: &Tensor, time: Duration) -> f64 {
    let model = load_model(MODEL);
    let run = || {
        let outputs = model.run(vec![NamedTensor::new("x", input.clone())]);
        drop(outputs.expect("it runs"));
    };
    run();
    let started = Instant::now();
    let runs: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..THREADS)
            .map(|_| {
                scope.spawn(|| {
                    let mut runs = 0;
                    while started.elapsed() < time {
                        run();
                        runs += 1;
                    }
                    runs
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("no panic"))
            .sum()
    });
    runs as f64 / started.elapsed().as_secs_f64()
}

/// So many connections, each asking again as soon as it is answered; a refused one waits a little.
fn connections(server: &Server, input: &Tensor, count: usize, time: Duration) -> Seen {
    let request = &request(MODEL, input, true);
    let started = Instant::now();
    let mut seen = Seen {
        answered: Vec::new(),
        statuses: BTreeMap::new(),
        seconds: 0.0,
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..count)
            .map(|_| {
                scope.spawn(move || {
                    let mut connection = Connection::open(server.address());
                    let mut replies = Vec::new();
                    while started.elapsed() < time {
                        let sent = Instant::now();
                        let status = connection.send(request);
                        replies.push((status, sent.elapsed()));
                        if status == 429 {
                            std::thread::sleep(Duration::from_millis(100));
                        }
                    }
                    replies
                })
            })
            .collect();
        for (status, time) in threads
            .into_iter()
            .flat_map(|thread| thread.join().expect("no panic"))
        {
            *seen.statuses.entry(status).or_default() += 1;
            if status == 200 {
                seen.answered.push(time);
            }
        }
    });
    // The last answers came after the time was over: they are counted, so is their time.
    seen.seconds = started.elapsed().as_secs_f64();
    seen.answered.sort_unstable();
    seen
}
