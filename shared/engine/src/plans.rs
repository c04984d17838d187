//! Plans by input shape: made once each, the least recently used one dropped.

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use crate::error::Result;
use crate::plan::Plan;

/// The shapes of all inputs, in the graph's order.
pub(crate) type Shapes = Vec<Vec<usize>>;

/// A bounded cache. No lock is held while a plan runs; while one is made, only those wait that
/// want the same one.
#[derive(Debug)]
pub(crate) struct Plans {
    capacity: usize,
    /// The least recently used one first.
    slots: Mutex<Vec<Arc<Slot>>>,
}

#[derive(Debug)]
struct Slot {
    shapes: Shapes,
    plan: OnceLock<Arc<Plan>>,
    making: Mutex<()>,
}

impl Plans {
    pub(crate) fn new(capacity: usize) -> Self {
        Self {
            capacity: capacity.max(1),
            slots: Mutex::default(),
        }
    }

    /// The plan for these shapes, made with `make` where there is none.
    pub(crate) fn get(
        &self,
        shapes: &[Vec<usize>],
        make: impl FnOnce() -> Result<Plan>,
    ) -> Result<Arc<Plan>> {
        let slot = self.slot(shapes);
        if let Some(plan) = slot.plan.get() {
            return Ok(Arc::clone(plan));
        }
        let _making = lock(&slot.making);
        if let Some(plan) = slot.plan.get() {
            return Ok(Arc::clone(plan));
        }
        match make() {
            Ok(plan) => {
                let plan = Arc::clone(slot.plan.get_or_init(|| Arc::new(plan)));
                self.trim();
                Ok(plan)
            }
            Err(error) => {
                self.forget(shapes);
                Err(error)
            }
        }
    }

    /// Drops the plan for these shapes.
    pub(crate) fn forget(&self, shapes: &[Vec<usize>]) {
        lock(&self.slots).retain(|slot| slot.shapes != shapes);
    }

    /// Puts what `change` makes of each plan in its place.
    pub(crate) fn change(
        &self,
        change: impl Fn(&[Vec<usize>], &Plan) -> Result<Plan>,
    ) -> Result<()> {
        for slot in lock(&self.slots).iter_mut() {
            if let Some(plan) = slot.plan.get() {
                let plan = OnceLock::from(Arc::new(change(&slot.shapes, plan)?));
                let shapes = slot.shapes.clone();
                *slot = Arc::new(Slot {
                    shapes,
                    plan,
                    making: Mutex::default(),
                });
            }
        }
        Ok(())
    }

    /// The plans that are made, the least recently used one first.
    pub(crate) fn made(&self) -> Vec<(Shapes, Arc<Plan>)> {
        lock(&self.slots)
            .iter()
            .filter_map(|slot| Some((slot.shapes.clone(), Arc::clone(slot.plan.get()?))))
            .collect()
    }

    /// What all plans hold, in bytes.
    pub(crate) fn bytes(&self) -> u64 {
        lock(&self.slots)
            .iter()
            .filter_map(|slot| slot.plan.get())
            .map(|plan| plan.bytes())
            .sum()
    }

    /// How many plans there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        lock(&self.slots)
            .iter()
            .filter(|slot| slot.plan.get().is_some())
            .count()
    }

    /// The slot of these shapes, now the most recently used one.
    fn slot(&self, shapes: &[Vec<usize>]) -> Arc<Slot> {
        let mut slots = lock(&self.slots);
        let slot = match slots.iter().position(|slot| slot.shapes == shapes) {
            Some(at) => slots.remove(at),
            None => Arc::new(Slot {
                shapes: shapes.to_vec(),
                plan: OnceLock::new(),
                making: Mutex::new(()),
            }),
        };
        slots.push(Arc::clone(&slot));
        slot
    }

    /// Drops the oldest plans beyond the capacity. Plans in the making stay: others wait for them.
    fn trim(&self) {
        let mut slots = lock(&self.slots);
        let made = slots
            .iter()
            .filter(|slot| slot.plan.get().is_some())
            .count();
        let mut excess = made.saturating_sub(self.capacity);
        slots.retain(|slot| {
            let drop = excess > 0 && slot.plan.get().is_some();
            excess -= usize::from(drop);
            !drop
        });
    }
}

/// What these locks guard is whole at every moment, so a panic of a holder does no harm.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
