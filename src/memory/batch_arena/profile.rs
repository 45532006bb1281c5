//! Kinds of batches by their size.

/// How large a batch is expected to be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Profile {
    /// Less than 10 KiB.
    Tiny = 1,
    /// Less than 100 KiB.
    Small = 2,
    /// Less than 1 MiB.
    Medium = 3,
    /// Less than 10 MiB.
    Large = 4,
    /// More.
    Huge = 5,
}

impl Profile {
    /// All, from the smallest.
    pub const ALL: [Profile; 5] = [
        Profile::Tiny,
        Profile::Small,
        Profile::Medium,
        Profile::Large,
        Profile::Huge,
    ];

    /// That of a batch of so many bytes.
    pub fn of(bytes: usize) -> Self {
        let mut bounded = [10 << 10, 100 << 10, 1 << 20, 10 << 20].into_iter();
        let place = bounded.position(|bound| bytes < bound);
        Self::ALL[place.unwrap_or(4)]
    }

    /// How long the first block is, in bytes.
    pub fn first_bytes(self) -> usize {
        [4 << 10, 32 << 10, 256 << 10, 2 << 20, 16 << 20][self.place()]
    }

    /// How much a batch that was made for this profile may count, in bytes, unless its owner says otherwise.
    pub fn limit_bytes(self) -> u64 {
        [64 << 10, 512 << 10, 4 << 20, 32 << 20, 256 << 20][self.place()]
    }

    /// Its place in [`Profile::ALL`].
    pub(super) fn place(self) -> usize {
        self as usize - 1
    }
}
