//! The work of a large node, cut into parts for the threads of its run.

use std::mem::take;
use std::ops::Range;

use tract_onnx::prelude::TypedModel;
use tract_onnx::tract_core::internal::{Cost, DimLike};

use crate::threads;

/// Products that a part has at least, some 5 µs of them: fewer are done before another thread has them.
const LEAST: usize = if cfg!(test) { 1 } else { 1 << 18 };

/// Whether a graph has a node that threads would share.
pub(crate) fn has_shared_work(model: &TypedModel) -> bool {
    model.nodes().iter().any(|node| {
        let inputs = model.node_input_facts(node.id).unwrap_or_default();
        let costs = node.op.cost(&inputs).unwrap_or_default();
        costs.iter().any(|(cost, products)| {
            let products = products.to_usize().unwrap_or_default();
            matches!(cost, Cost::FMA(_)) && products >= 2 * LEAST
        })
    })
}

/// What is to be done for a batch whose items' outputs lie one behind the other, each of some blocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Work {
    pub(super) items: usize,
    /// Blocks of an item's output that can be made one without the others.
    pub(super) blocks: usize,
    /// Products of an item.
    pub(super) products: usize,
}

impl Work {
    /// Cuts it for the threads at hand and does each part: `work` gets an item's index, some of its blocks, and their
    /// place in the output.
    pub(super) fn share<T: Send>(
        self,
        output: &mut [T],
        work: impl Fn(usize, Range<usize>, &mut [T]) + Sync,
    ) {
        if output.is_empty() {
            return;
        }
        let block = output.len() / (self.items * self.blocks);
        let parts = self.parts(threads::here());
        let mut rest = output;
        let mut places = Vec::with_capacity(self.items * parts);
        for item in 0..self.items {
            for blocks in cut(self.blocks, parts) {
                let (place, behind) = take(&mut rest).split_at_mut(blocks.len() * block);
                places.push((item, blocks, place));
                rest = behind;
            }
        }
        if places.len() == 1 || threads::here() == 1 {
            for (item, blocks, place) in places {
                work(item, blocks, place);
            }
            return;
        }
        let work = &work;
        rayon_core::scope(|scope| {
            for (item, blocks, place) in places {
                scope.spawn(move |_| work(item, blocks, place));
            }
        });
    }

    /// Parts of an item: none where the items alone keep all threads busy.
    fn parts(self, threads: usize) -> usize {
        if self.items.is_multiple_of(threads) {
            return 1;
        }
        let most = threads.min(self.products / LEAST).min(self.blocks);
        most.max(1)
    }
}

/// Cuts some blocks into parts of whole pairs, as kernels do two at a time, as alike as may be.
fn cut(blocks: usize, parts: usize) -> impl Iterator<Item = Range<usize>> {
    let pairs = blocks.div_ceil(2);
    let parts = parts.min(pairs).max(1);
    let end = move |part: usize| (part * pairs / parts * 2).min(blocks);
    (0..parts).map(move |part| end(part)..end(part + 1))
}

/// What belongs to some of the blocks.
pub(super) fn of_blocks<'a, T>(all: &'a [T], of: usize, blocks: &Range<usize>) -> &'a [T] {
    let each = all.len() / of;
    &all[blocks.start * each..blocks.end * each]
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::Threads;

    #[test]
    fn every_block_is_done_once_whatever_the_threads() {
        for (threads, items, blocks) in [(1, 1, 7), (2, 1, 7), (3, 1, 2), (3, 2, 5), (2, 4, 1)] {
            let threads = Threads::new(NonZeroUsize::new(threads).unwrap()).unwrap();
            let calls = AtomicUsize::new(0);
            let mut output = vec![0; items * blocks * 3];
            threads.run(|| {
                let products = 100 * LEAST;
                let work = Work {
                    items,
                    blocks,
                    products,
                };
                work.share(&mut output, |item, range, place| {
                    calls.fetch_add(1, Ordering::Relaxed);
                    for (at, number) in place.iter_mut().enumerate() {
                        *number += item * blocks * 3 + range.start * 3 + at;
                    }
                });
            });
            assert!(output.into_iter().eq(0..items * blocks * 3));
            assert!(calls.into_inner() >= items);
        }
    }

    #[test]
    fn little_work_is_not_cut() {
        let work = Work {
            items: 1,
            blocks: 64,
            products: LEAST,
        };
        assert_eq!(work.parts(4), 1);
    }
}
