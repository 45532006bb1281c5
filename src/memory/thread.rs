//! Threads whose start may fail, and which take little memory.
//!
//! The standard library allocates some of what a thread needs in ways that end the process when there is nothing, also where it
//! answers an error otherwise, and gives each a stack of its own for signals. Here the system is asked directly.
#![allow(unsafe_code)]

/// Of address space: only touched pages become memory.
pub const STACK_BYTES: usize = 2 << 20;

pub use system::SystemThread;

#[cfg(unix)]
mod system {
    use std::ffi::{CStr, c_int, c_void};
    use std::io;
    use std::mem::MaybeUninit;
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::ptr;

    use super::STACK_BYTES;

    /// A running thread. It runs on, by itself, if this is dropped without a [`join`](SystemThread::join).
    pub struct SystemThread {
        id: libc::pthread_t,
    }

    // SAFETY: the number of a thread means the same to all threads.
    unsafe impl Send for SystemThread {}
    // SAFETY: and there is nothing to be done with a shared one.
    unsafe impl Sync for SystemThread {}

    struct Start {
        name: &'static CStr,
        body: Box<dyn FnOnce() + Send>,
    }

    impl SystemThread {
        /// Starts a thread that runs `body`, and ends with it, also if it panics. Debuggers show `name`, of which systems keep 15
        /// bytes.
        ///
        /// # Errors
        /// What the system answers: memory is too short, or there are too many threads.
        pub fn start(
            name: &'static CStr,
            body: impl FnOnce() + Send + 'static,
        ) -> io::Result<Self> {
            let body = Box::new(body);
            let start = Box::into_raw(Box::new(Start { name, body }));
            // SAFETY: `run` gets a pointer that came from a box, and gets it once.
            let started = unsafe { start_with(start.cast()) };
            started.inspect_err(|_| {
                // SAFETY: the box was given to nobody.
                drop(unsafe { Box::from_raw(start) });
            })
        }

        /// Returns when the thread has ended.
        pub fn join(self) {
            // SAFETY: the thread was started so that it can be joined, and is once, as this is consumed.
            let joined = unsafe { libc::pthread_join(self.id, ptr::null_mut()) };
            debug_assert_eq!(joined, 0);
        }
    }

    /// # Safety
    /// `start` is what [`run`] takes.
    unsafe fn start_with(start: *mut c_void) -> io::Result<SystemThread> {
        let mut attributes = MaybeUninit::uninit();
        let attributes = attributes.as_mut_ptr();
        let mut id = MaybeUninit::uninit();
        // SAFETY: the attributes are used after they were made and before they are destroyed, and the number is read if the system
        // has written it; `run` gets what the caller vouches for.
        unsafe {
            answer(libc::pthread_attr_init(attributes))?;
            let mut answered = answer(libc::pthread_attr_setstacksize(attributes, STACK_BYTES));
            if answered.is_ok() {
                answered = answer(libc::pthread_create(
                    id.as_mut_ptr(),
                    attributes,
                    run,
                    start,
                ));
            }
            libc::pthread_attr_destroy(attributes);
            answered?;
            Ok(SystemThread {
                id: id.assume_init(),
            })
        }
    }

    fn answer(code: c_int) -> io::Result<()> {
        match code {
            0 => Ok(()),
            code => Err(io::Error::from_raw_os_error(code)),
        }
    }

    extern "C" fn run(start: *mut c_void) -> *mut c_void {
        // SAFETY: it came from a box in `start`, and belongs to this thread alone.
        let start = unsafe { Box::from_raw(start.cast::<Start>()) };
        set_name(start.name);
        // The message has been printed; whoever waits for the thread goes on.
        let _ = catch_unwind(AssertUnwindSafe(start.body));
        ptr::null_mut()
    }

    #[cfg(all(target_os = "linux", not(miri)))]
    fn set_name(name: &CStr) {
        // SAFETY: the name ends with a zero byte and is shorter than the 16 that are allowed.
        unsafe { libc::pthread_setname_np(libc::pthread_self(), name.as_ptr()) };
    }

    #[cfg(not(all(target_os = "linux", not(miri))))]
    fn set_name(_: &CStr) {}
}

#[cfg(not(unix))]
mod system {
    use std::ffi::CStr;
    use std::io;
    use std::thread::{Builder, JoinHandle};

    use super::STACK_BYTES;

    /// A running thread. It runs on, by itself, if this is dropped without a [`join`](SystemThread::join).
    pub struct SystemThread {
        handle: JoinHandle<()>,
    }

    impl SystemThread {
        /// Starts a thread that runs `body`, and ends with it, also if it panics. Debuggers show `name`.
        ///
        /// # Errors
        /// What the system answers: memory is too short, or there are too many threads.
        pub fn start(
            name: &'static CStr,
            body: impl FnOnce() + Send + 'static,
        ) -> io::Result<Self> {
            let name = name.to_string_lossy().into_owned();
            let builder = Builder::new().name(name).stack_size(STACK_BYTES);
            let handle = builder.spawn(body)?;
            Ok(Self { handle })
        }

        /// Returns when the thread has ended.
        pub fn join(self) {
            let _ = self.handle.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    #[cfg_attr(miri, ignore = "it knows no attributes of threads")]
    fn a_thread_runs_its_body_and_is_waited_for() {
        let count = Arc::new(AtomicU32::new(0));
        let counted = count.clone();
        let thread = SystemThread::start(c"freyja-test", move || {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        thread.unwrap().join();
        assert_eq!(count.load(Ordering::Relaxed), 1);
        assert_eq!(Arc::strong_count(&count), 1);
    }

    #[test]
    #[cfg_attr(miri, ignore = "it knows no attributes of threads")]
    fn a_thread_that_panics_has_ended() {
        let given = Arc::new(());
        let kept = given.clone();
        let thread = SystemThread::start(c"freyja-test", move || {
            let _kept = kept;
            panic!("as this test wants it");
        });
        thread.unwrap().join();
        assert_eq!(Arc::strong_count(&given), 1);
    }

    #[test]
    #[cfg(all(target_os = "linux", not(miri)))]
    fn a_thread_has_its_name() {
        let (sender, names) = std::sync::mpsc::channel();
        let thread = SystemThread::start(c"freyja-named", move || {
            let name = std::fs::read_to_string("/proc/thread-self/comm");
            sender.send(name.unwrap()).unwrap();
        });
        thread.unwrap().join();
        assert_eq!(names.recv().unwrap(), "freyja-named\n");
    }
}
