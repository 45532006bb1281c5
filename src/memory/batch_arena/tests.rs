use super::history::History;
use super::*;
use crate::memory::page_arena::PAGE_BYTES;

/// The tests of a process share its history, so that each says what it expects.
fn arena(profile: Profile) -> BatchArena {
    BatchArena::new(Some(profile))
}

fn append(arena: &mut BatchArena, piece: &[u8]) -> Result<()> {
    let (prefix, rest) = piece.split_at(piece.len().min(PREFIX_BYTES / 2));
    let (one, other) = rest.split_at(rest.len() / 3);
    let mut padded = [0xee; PREFIX_BYTES];
    padded[..prefix.len()].copy_from_slice(prefix);
    let padded = u128::from_le_bytes(padded);
    arena.append(padded, prefix.len(), [one, other])
}

fn content(arena: &BatchArena) -> Vec<u8> {
    let (full, last) = arena.in_use();
    let parts = full.iter().map(Part::bytes).chain([last]);
    parts.flatten().copied().collect()
}

/// A deterministic generator (Marsaglia, "Xorshift RNGs", 2003) so that every run is the same.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % limit
    }
}

#[test]
fn an_arena_holds_what_a_list_of_bytes_would_hold_whatever_is_taken_out_of_it() {
    let mut random = Random(3);
    // Miri takes minutes for long blocks.
    let profiles = if cfg!(miri) { 2 } else { 5 };
    for profile in Profile::ALL.into_iter().take(profiles) {
        let mut arena = arena(profile);
        let (mut model, mut positions) = (Vec::new(), Vec::new());
        for step in 0..if cfg!(miri) { 60 } else { 3000 } {
            match random.below(20) {
                0 => positions.push((arena.position(), model.len())),
                1 if !positions.is_empty() => {
                    let place = random.below(positions.len());
                    let (position, length) = positions[place];
                    positions.truncate(place + 1);
                    arena.cut(position);
                    model.truncate(length);
                }
                2 if random.below(20) == 0 => {
                    arena.clear();
                    model.clear();
                    positions.clear();
                }
                kind => {
                    let most = if kind == 3 { 9000 } else { 300 };
                    let piece = vec![step as u8; random.below(if cfg!(miri) { 100 } else { most })];
                    append(&mut arena, &piece).unwrap();
                    model.extend(piece);
                }
            }
            if step % 20 == 0 {
                assert!(content(&arena) == model);
            }
        }
        assert!(content(&arena) == model);
    }
}

#[test]
fn the_first_block_is_that_of_the_profile_and_later_ones_add_little() {
    for profile in Profile::ALL {
        if cfg!(miri) && profile.first_bytes() > 32 << 10 {
            continue;
        }
        let mut arena = arena(profile);
        let first_bytes = profile.first_bytes();
        append(&mut arena, &[1; 100]).unwrap();
        assert_eq!(arena.room, first_bytes);
        append(&mut arena, &vec![1; first_bytes - 100]).unwrap();
        assert_eq!(arena.room, first_bytes);
        append(&mut arena, &[1; 10]).unwrap();
        let more = arena.room - first_bytes;
        assert!(more <= (first_bytes / GROWTH_PART).next_multiple_of(PAGE_BYTES) + LEAST_BYTES);
    }
}

/// Pieces of 1 KB, so that the end of each block that is left is as much as it can be.
#[test]
fn an_arena_that_is_filled_as_before_leaves_little_unused_whatever_its_length() {
    for length in [5, 7, 9, 11, 13, 17, 19, 29, 100, 333].map(|thousand| thousand * 1000) {
        let mut arena = arena(Profile::Tiny);
        let fill = |arena: &mut BatchArena| {
            for _ in 0..length / 1000 {
                append(arena, &[5; 1000]).unwrap();
            }
        };
        fill(&mut arena);
        arena.clear();
        arena.give_back();
        fill(&mut arena);
        let (bytes, parts) = (arena.room, arena.parts.len());
        assert!(bytes <= length + length / 20 + 200, "{bytes} for {length}");
        assert!(parts <= 2, "{parts} blocks for {length}");
    }
}

/// Nothing tells the arena how long its content will be. Means over lengths, as any one may end where a block does.
#[test]
fn an_arena_that_is_filled_for_the_first_time_leaves_little_unused() {
    if cfg!(miri) {
        return; // minutes
    }
    for (about, piece, most) in [
        (10_000, 118, 0.13),
        (500_000, 118, 0.04),
        (500_000, 1018, 0.04),
    ] {
        let over = (80..=120).map(|per_cent| {
            let mut arena = arena(Profile::Tiny);
            let pieces = about * per_cent / 100 / piece;
            for _ in 0..pieces {
                append(&mut arena, &vec![5; piece]).unwrap();
            }
            arena.bytes() as f64 / (pieces * piece) as f64 - 1.0
        });
        let mean = over.sum::<f64>() / 41.0;
        assert!(mean < most, "{mean} over {about} in pieces of {piece}");
    }
}

#[test]
fn going_back_frees_nothing_and_what_comes_next_uses_the_same_blocks() {
    let mut arena = arena(Profile::Tiny);
    append(&mut arena, b"kept").unwrap();
    let position = arena.position();
    let fill = |arena: &mut BatchArena| {
        for _ in 0..1000 {
            append(arena, &[5; 100]).unwrap();
        }
    };
    fill(&mut arena);
    let (bytes, blocks) = (arena.bytes(), arena.parts.len());
    for _ in 0..3 {
        arena.cut(position);
        assert_eq!(content(&arena), b"kept");
        assert_eq!((arena.bytes(), arena.parts.len()), (bytes, blocks));
        fill(&mut arena);
        assert_eq!((arena.bytes(), arena.parts.len()), (bytes, blocks));
    }
}

#[test]
fn an_emptied_arena_keeps_one_block_of_a_mebibyte_at_most() {
    let mut one_block = arena(Profile::Medium);
    append(&mut one_block, &[1; 100]).unwrap();
    one_block.clear();
    assert_eq!(one_block.room, Profile::Medium.first_bytes());
    let mut large = arena(Profile::Large);
    append(&mut large, &[1; 100]).unwrap();
    large.clear();
    assert_eq!(large.room, 0);
    let mut many = arena(Profile::Tiny);
    for _ in 0..100 {
        append(&mut many, &[1; 100]).unwrap();
    }
    assert!(many.parts.len() > 1);
    many.clear();
    assert_eq!((many.room, many.parts.len()), (0, 0));
}

#[test]
fn pieces_that_fill_a_good_part_of_a_block_waste_little() {
    if cfg!(miri) {
        return; // minutes as well
    }
    for length in [1500, 4000, 5000, 20_000, 60_000, 100_000] {
        let mut arena = arena(Profile::Large);
        let piece = vec![1; length];
        for _ in 0..(8 << 20) / length {
            append(&mut arena, &piece).unwrap();
        }
        let held = (8 << 20) / length * length;
        let overhead = arena.bytes() as f64 / held as f64;
        assert!(overhead < 1.1, "{length}: {overhead}");
    }
}

#[test]
fn the_next_batch_is_made_for_what_most_batches_were() {
    let history = History::new();
    assert_eq!(history.first_bytes(), 4096);
    for _ in 0..3 {
        history.note(200_000);
        history.note(1000);
    }
    history.note(200_000);
    assert_eq!(history.first_bytes(), 200_000);
    for _ in 0..5000 {
        history.note(50 << 20);
    }
    assert_eq!(history.first_bytes(), 16 << 20);
    // What was long ago counts no more.
    for _ in 0..5000 {
        history.note(5000);
    }
    assert_eq!(history.first_bytes(), 5000);
}

#[test]
fn every_size_has_its_profile() {
    let profiles = [
        (0, Profile::Tiny),
        ((10 << 10) - 1, Profile::Tiny),
        (10 << 10, Profile::Small),
        (100 << 10, Profile::Medium),
        (1 << 20, Profile::Large),
        ((10 << 20) - 1, Profile::Large),
        (10 << 20, Profile::Huge),
        (usize::MAX, Profile::Huge),
    ];
    for (bytes, profile) in profiles {
        assert_eq!(Profile::of(bytes), profile, "{bytes}");
    }
}
