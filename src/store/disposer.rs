//! The thread that lets go of segments which nobody reads any more.

use std::sync::Arc;
use std::thread::JoinHandle;

use super::thread;
use crate::error::Result;
use crate::log::Disposal;

/// A running thread; dropping it stops and joins it when it has let go of everything.
pub struct Disposer {
    disposal: Arc<Disposal>,
    thread: Option<JoinHandle<()>>,
}

impl Disposer {
    /// Starts the thread for `disposal`.
    pub fn start(disposal: &Arc<Disposal>) -> Result<Self> {
        disposal.open();
        let thread = thread::start("freyja-disposer", {
            let disposal = disposal.clone();
            move || disposal.run()
        });
        let thread = thread.inspect_err(|_| disposal.close())?;
        Ok(Self {
            disposal: disposal.clone(),
            thread: Some(thread),
        })
    }
}

impl Drop for Disposer {
    fn drop(&mut self) {
        self.disposal.close();
        if let Some(thread) = self.thread.take() {
            // It holds nothing that a panic of it could leave half done.
            let _ = thread.join();
        }
    }
}
