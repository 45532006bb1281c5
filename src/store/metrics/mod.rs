//! All that a store tells of itself as text for Prometheus: docs/monitoring.md.

mod figures;
mod pool;
mod pressure;
mod text;

use super::Store;
use crate::error::Result;
use crate::memory::buffer_pool::process_pool_if_any;
use figures::Value;
use text::{Metric, Text};

const PINS: Metric = Metric::gauge(
    "pins",
    "Values pinned and not released yet, in the whole process",
);

impl Store {
    /// The figures of the store, of its memory budget, and of the buffer pool of the process, with how many values are pinned, in
    /// the text format of Prometheus, version 0.0.4. Those of the store are labelled with its directory.
    ///
    /// # Errors
    /// `Closed`; `Memory` if the text, of some ten thousand bytes, cannot be kept.
    pub fn metrics(&self, pins: u64) -> Result<String> {
        let pressure = self.memory_pressure()?;
        let store = self.shared.directory.to_string_lossy();
        let mut text = Text::default();
        for (metric, value) in &figures::metrics(&self.stats()) {
            let labels = [("store", &*store)];
            match value {
                Value::Number(number) => text.single(metric, &labels, number),
                Value::Millionths(number) => text.single(metric, &labels, *number as f64 / 1e6),
            }
        }
        pressure::write(&mut text, &store, &pressure);
        text.single(&PINS, &[], pins);
        if let Some(pool) = process_pool_if_any() {
            pool::write(&mut text, &pool.statistics());
        }
        text.finish()
    }
}
