//! Handles of things that one thread at a time may use.

use std::ffi::c_int;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::{MappedMutexGuard, Mutex, MutexGuard};

use super::fork;
use super::guard;
use super::handle::{HandleTable, closed};
use super::status::{code_of, freyja_status};
use crate::error::{Error, ErrorKind, Result};
use crate::memory::epoch;

/// Handles of one kind.
pub struct ExclusiveTable<T: Send + 'static, const KIND: usize> {
    handles: HandleTable<Exclusive<T>, KIND>,
    /// What messages call a thing of this kind.
    name: &'static str,
}

/// A thing, whose process it is, and whether it can be trusted.
struct Exclusive<T> {
    /// Never waited for: it is for one thread at a time, and a second one is told so. Empty once it was freed.
    thing: Mutex<Option<T>>,
    /// [`fork::count`] when it was made.
    forks: u32,
    /// Set by a panic of a call, which may have left the thing half changed.
    panicked: AtomicBool,
}

impl<T: Send + 'static, const KIND: usize> ExclusiveTable<T, KIND> {
    /// A table without handles; messages call what it holds `name`.
    pub const fn new(name: &'static str) -> Self {
        Self {
            handles: HandleTable::new(),
            name,
        }
    }

    /// Makes a handle to `thing`.
    pub fn make(&self, thing: T) -> Result<usize> {
        fork::watch()?;
        self.handles.insert(Exclusive {
            thing: Mutex::new(Some(thing)),
            forks: fork::count(),
            panicked: AtomicBool::new(false),
        })
    }

    /// Invalidates the handle and frees what it stands for, at once unless another thread is using it.
    pub fn free(&self, handle: usize) -> Result<()> {
        self.check_process(&*self.handles.share(self.checked(handle)?)?)?;
        let exclusive = self.handles.remove(handle)?;
        let thing = exclusive.thing.try_lock().and_then(|mut it| it.take());
        drop(thing);
        Ok(())
    }

    /// Runs a call that changes the thing or asks it something.
    #[inline(always)]
    pub fn changing(
        &self,
        handle: usize,
        call: impl FnOnce(&mut T) -> Result<freyja_status>,
    ) -> c_int {
        let outcome = guard::run(|| {
            let guard = epoch::pin();
            let exclusive = self.handles.borrow(self.checked(handle)?, &guard)?;
            self.check_usable(exclusive)?;
            call(&mut *self.lock(exclusive)?)
        });
        outcome.map_or_else(
            |error| self.failed(handle, &error),
            |status| status as c_int,
        )
    }

    #[cold]
    fn failed(&self, handle: usize, error: &Error) -> c_int {
        if error.kind() == ErrorKind::Panic {
            self.mark(handle);
        }
        code_of(error)
    }

    /// Calls `read` with the thing, which no other thread can use meanwhile. It may take long.
    pub fn reading<R>(&self, handle: usize, read: impl FnOnce(&T) -> Result<R>) -> Result<R> {
        let exclusive = self.handles.share(self.checked(handle)?)?;
        self.check_usable(&exclusive)?;
        read(&*self.lock(&exclusive)?)
    }

    #[inline(always)]
    fn lock<'e>(&self, exclusive: &'e Exclusive<T>) -> Result<MappedMutexGuard<'e, T>> {
        let locked = exclusive.thing.try_lock().ok_or_else(|| self.in_use())?;
        MutexGuard::try_map(locked, Option::as_mut).map_err(|_| closed())
    }

    fn mark(&self, handle: usize) {
        if let Ok(exclusive) = self.handles.share(handle) {
            exclusive.panicked.store(true, Ordering::Relaxed);
        }
    }

    #[inline(always)]
    fn checked(&self, handle: usize) -> Result<usize> {
        match handle {
            0 => Err(self.null()),
            handle => Ok(handle),
        }
    }

    #[inline(always)]
    fn check_usable(&self, exclusive: &Exclusive<T>) -> Result<()> {
        self.check_process(exclusive)?;
        match exclusive.panicked.load(Ordering::Relaxed) {
            true => Err(self.defective()),
            false => Ok(()),
        }
    }

    #[inline(always)]
    fn check_process(&self, exclusive: &Exclusive<T>) -> Result<()> {
        fork::check(
            exclusive.forks,
            "what the handle stands for was made by a parent of this process",
        )
    }

    #[cold]
    fn null(&self) -> Error {
        let message = format!("the {} is NULL", self.name);
        Error::new(ErrorKind::Invalid, message)
    }

    #[cold]
    fn defective(&self) -> Error {
        let message = format!(
            "a defect stopped this {}: free it and make another",
            self.name
        );
        Error::new(ErrorKind::Failed, message)
    }

    #[cold]
    fn in_use(&self) -> Error {
        let message = format!(
            "another thread is using the {}: give each thread its own, or take turns",
            self.name
        );
        Error::new(ErrorKind::Busy, message)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use freyja_status::*;

    static THINGS: ExclusiveTable<u32, 6> = ExclusiveTable::new("thing");

    #[test]
    fn what_one_thread_uses_is_busy_for_others_and_may_be_freed_by_them() {
        let thing = THINGS.make(1).unwrap();
        let inside = THINGS.changing(thing, |_| {
            let other = THINGS.changing(thing, |_| Ok(FREYJA_OK));
            assert_eq!(other, FREYJA_BUSY as c_int);
            let read = THINGS.reading(thing, |_| Ok(())).unwrap_err();
            assert_eq!(read.kind(), ErrorKind::Busy);
            THINGS.free(thing)?;
            Ok(FREYJA_OK)
        });
        assert_eq!(inside, FREYJA_OK as c_int);
        assert_eq!(
            THINGS.changing(thing, |_| Ok(FREYJA_OK)),
            FREYJA_CLOSED as c_int
        );
        assert_eq!(THINGS.free(thing).unwrap_err().kind(), ErrorKind::Closed);
    }

    #[test]
    fn after_a_panic_the_handle_answers_failed_and_can_be_freed() {
        let thing = THINGS.make(1).unwrap();
        assert_eq!(
            THINGS.changing(thing, |_| panic!("injected")),
            FREYJA_PANIC as c_int
        );
        assert_eq!(
            THINGS.changing(thing, |_| Ok(FREYJA_OK)),
            FREYJA_FAILED as c_int
        );
        let read = THINGS.reading(thing, |_| Ok(())).unwrap_err();
        assert_eq!(read.kind(), ErrorKind::Failed);
        THINGS.free(thing).unwrap();
    }
}
