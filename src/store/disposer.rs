//! The thread that lets go of segments which nobody reads any more.

use std::sync::Arc;

use super::thread::Thread;
use crate::error::Result;
use crate::log::Disposal;

/// Starts the thread for `disposal`; it ends when it has let go of everything.
pub fn start(disposal: &Arc<Disposal>) -> Result<Thread> {
    disposal.open();
    let thread = Thread::start(
        c"freyja-disposer",
        {
            let disposal = disposal.clone();
            move || disposal.run()
        },
        {
            let disposal = disposal.clone();
            move || disposal.close()
        },
    );
    thread.inspect_err(|_| disposal.close())
}
