//! Batches of an epoch, made on threads while the training computes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread;

use dunlin_protocol::NamedTensor;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use super::{Augment, Dataset, Part, Target, stack};
use crate::{Error, ErrorKind, Result};

/// Batches that each worker has ready.
const AHEAD: usize = 2;

/// Some examples, side by side.
#[derive(Debug, Clone)]
pub struct Batch {
    /// What the network takes.
    pub inputs: Vec<NamedTensor>,
    /// What it should answer to each.
    pub targets: Vec<Target>,
}

/// The batches of one epoch, in an order that follows from seed and epoch alone: an epoch that is
/// taken up in the middle goes on as it would have.
#[derive(Debug)]
pub struct Batches {
    workers: Vec<Receiver<Result<Batch>>>,
    next: usize,
    end: usize,
}

/// What an epoch is made of.
#[derive(Debug, Clone, Copy)]
pub struct Epoch {
    /// Examples in a batch; the last one may have fewer.
    pub batch: usize,
    /// Its number.
    pub number: usize,
    /// Of all random numbers.
    pub seed: u64,
    /// What is done to the pictures.
    pub augment: Augment,
}

impl Batches {
    /// Examples of the training part, in random order, from batch `first` on.
    pub fn train(data: &Arc<Dataset>, epoch: Epoch, first: usize, workers: usize) -> Self {
        let mut order: Vec<usize> = (0..data.part(Part::Train).len()).collect();
        order.shuffle(&mut random(epoch.seed, epoch.number, u64::MAX));
        Self::start(data, Part::Train, order, epoch, first, workers)
    }

    /// Examples of a part as they are, in their order.
    pub fn plain(data: &Arc<Dataset>, part: Part, batch: usize, workers: usize) -> Self {
        let order = (0..data.part(part).len()).collect();
        let epoch = Epoch {
            batch,
            number: 0,
            seed: 0,
            augment: Augment::NONE,
        };
        Self::start(data, part, order, epoch, 0, workers)
    }

    fn start(
        data: &Arc<Dataset>,
        part: Part,
        order: Vec<usize>,
        epoch: Epoch,
        first: usize,
        workers: usize,
    ) -> Self {
        let end = order.len().div_ceil(epoch.batch);
        let order = Arc::new(order);
        let worker = |worker: usize| {
            let (ready, batches) = sync_channel(AHEAD);
            let (data, order) = (Arc::clone(data), Arc::clone(&order));
            // Ends when the receiver is dropped.
            thread::spawn(move || {
                for number in (first + worker..end).step_by(workers) {
                    let from = number * epoch.batch;
                    let to = (from + epoch.batch).min(order.len());
                    if ready
                        .send(make(&data, part, &order[from..to], epoch))
                        .is_err()
                    {
                        return;
                    }
                }
            });
            batches
        };
        let mut workers: Vec<_> = (0..workers).map(worker).collect();
        // The batch `first` comes from the first of them.
        let count = workers.len();
        workers.rotate_right(first % count);
        Self {
            workers,
            next: first,
            end,
        }
    }
}

impl Iterator for Batches {
    type Item = Result<Batch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next == self.end {
            return None;
        }
        let worker = self.next % self.workers.len();
        self.next += 1;
        let died = || Error::new(ErrorKind::Failed, "a thread that reads the data has died");
        Some(self.workers[worker].recv().unwrap_or_else(|_| Err(died())))
    }
}

fn make(data: &Dataset, part: Part, places: &[usize], epoch: Epoch) -> Result<Batch> {
    let part = data.part(part);
    let mut rows = Vec::with_capacity(places.len());
    for &place in places {
        let mut inputs = data.decoder.inputs(&part[place])?;
        let mut random = random(epoch.seed, epoch.number, place as u64);
        epoch.augment.change(&mut inputs, &mut random)?;
        rows.push(inputs);
    }
    let targets = places.iter().map(|&place| part[place].target.clone());
    Ok(Batch {
        inputs: stack(&rows)?,
        targets: targets.collect(),
    })
}

/// Random numbers of one purpose, whatever was drawn before for others.
fn random(seed: u64, epoch: usize, purpose: u64) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed ^ ((epoch as u64) << 40));
    random.set_stream(purpose);
    random
}
