//! What a run is given, and what comes out of it.

use std::sync::atomic::AtomicBool;

use burn::tensor::Device;

use super::{Checkpoints, Fingerprint, Point, Spent};
use crate::Error;

/// How a run is carried out; nothing here changes what comes out of it.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Where the network's tensors are, without gradients.
    pub device: Device,
    /// What is trained, and how.
    pub fingerprint: Fingerprint,
    /// Where it is kept, if it is.
    pub checkpoints: Option<&'a Checkpoints>,
    /// Steps from one checkpoint to the next.
    pub checkpoint_every: usize,
    /// Threads that read examples.
    pub workers: usize,
    /// Set from outside: store a checkpoint and leave.
    pub stop: &'a AtomicBool,
    /// Say nothing.
    pub quiet: bool,
}

/// A network that has learned.
#[derive(Debug)]
pub struct Fitted<N> {
    /// With the weights of the best epoch, without gradients.
    pub network: N,
    /// Each epoch.
    pub history: Vec<Point>,
    /// The epoch that the weights are from.
    pub epoch: usize,
    /// What it took.
    pub spent: Spent,
    /// Why the last checkpoint can't be stored, if it can't: the same command would train anew what came after
    /// the one before it.
    pub unstored: Option<Error>,
}
