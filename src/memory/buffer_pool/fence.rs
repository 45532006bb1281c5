//! A pair of fences for two parties of which one passes often and the other seldom: the first costs nothing, the
//! second makes the kernel put a fence into every running thread of the process (membarrier, Linux 4.14). Where there
//! is no such call both are ordinary fences.
//!
//! As with two sequentially consistent fences: if one party stores, passes its fence and loads, and the other does the
//! same with its own, then at least one of them sees what the other stored. Dice, Huang, Yang, "Asymmetric Dekker
//! synchronization" (2001).
#![allow(unsafe_code)]

#[cfg(all(target_os = "linux", not(miri), not(loom)))]
mod system {
    use std::sync::atomic::{AtomicU8, Ordering, compiler_fence, fence};

    /// Commands of membarrier, from linux/membarrier.h.
    const PRIVATE_EXPEDITED: i32 = 1 << 3;
    const REGISTER_PRIVATE_EXPEDITED: i32 = 1 << 4;

    const UNDECIDED: u8 = 0;
    const ORDINARY: u8 = 1;
    const ASYMMETRIC: u8 = 2;

    /// What the fences are. Decided once, before any is passed.
    static KIND: AtomicU8 = AtomicU8::new(UNDECIDED);

    fn membarrier(command: i32) -> bool {
        // SAFETY: the call takes no address and changes nothing that a program can see.
        unsafe { libc::syscall(libc::SYS_membarrier, command, 0, 0) == 0 }
    }

    pub fn prepare() {
        // The registration is inherited by forked children; asking again does no harm.
        let kind = match membarrier(REGISTER_PRIVATE_EXPEDITED) {
            true => ASYMMETRIC,
            false => ORDINARY,
        };
        // All who come here at once find out the same; if not, the first decides.
        let _ = KIND.compare_exchange(UNDECIDED, kind, Ordering::Relaxed, Ordering::Relaxed);
    }

    #[inline]
    pub fn light() {
        if KIND.load(Ordering::Relaxed) == ASYMMETRIC {
            compiler_fence(Ordering::SeqCst);
        } else {
            fence(Ordering::SeqCst);
        }
    }

    pub fn heavy() -> bool {
        if KIND.load(Ordering::Relaxed) == ASYMMETRIC {
            return membarrier(PRIVATE_EXPEDITED);
        }
        fence(Ordering::SeqCst);
        true
    }
}

#[cfg(not(all(target_os = "linux", not(miri), not(loom))))]
mod system {
    use crate::memory::sync::atomic::{Ordering, fence};

    pub fn prepare() {}

    pub fn light() {
        fence(Ordering::SeqCst);
    }

    pub fn heavy() -> bool {
        fence(Ordering::SeqCst);
        true
    }
}

/// To be called before the first use of the others.
pub use system::prepare;

/// The fence of who passes often.
pub use system::light;

/// The fence of who passes seldom. `false` if the system refused it, and nothing is promised.
pub use system::heavy;
