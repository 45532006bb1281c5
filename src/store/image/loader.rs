//! Fills in the background what no call has touched yet.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::store::Shared;

/// A running thread that loads absent shards; dropping it stops and joins it.
pub struct Loader {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Loader {
    /// Starts the thread for `shared`.
    pub fn start(shared: Arc<Shared>) -> Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::Builder::new()
            .name("freyja-loader".into())
            .spawn({
                let stop = stop.clone();
                // A shard that fails here fails again for whoever needs it, who hears of it.
                move || {
                    let go_on = || !stop.load(Ordering::Acquire);
                    let _ = shared.index.make_all_present(go_on);
                }
            })
            .map_err(|error| {
                Error::new(
                    ErrorKind::Memory,
                    format!("a background thread could not be started: {error}"),
                )
            })?;
        Ok(Self {
            stop,
            thread: Some(thread),
        })
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            // Nothing that a panic of it could leave half done is in use after this.
            let _ = thread.join();
        }
    }
}
