use super::*;

fn slab(page_bytes: usize) -> (Arc<KeySlab>, KeyAppender) {
    KeySlab::new(Arc::new(PageArena::new(usize::MAX)), page_bytes).unwrap()
}

fn key(number: usize, length: usize) -> Vec<u8> {
    (0..length).map(|at| (number * 31 + at * 7) as u8).collect()
}

fn kind<T>(result: Result<T>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind())
}

#[test]
fn a_copy_of_a_key_is_the_key_wherever_it_lay() {
    let (source, mut source_appender) = slab(4096);
    let (copy, mut appender) = slab(4096);
    let mut scratch = Vec::new();
    // Of these lengths some keys lie across two pages or more, and some end with one.
    let lengths = |number: usize| [0, 15, 126, 127, 128, 1000, 4095, 5000][number % 8] + number / 8;
    for number in 0..400 {
        let key = key(number, lengths(number));
        let reference = source_appender.append(&key).unwrap();
        let copied = appender
            .append_copy(&source.view().unwrap(), reference, &mut scratch)
            .unwrap();
        assert_eq!(copied, reference, "records lie back to back");
        assert_eq!(copy.key(copied, &mut scratch).unwrap(), key);
    }
    assert_eq!(copy.published_bytes(), source.published_bytes());
    let beyond = source.published_bytes() as u32;
    let result = appender.append_copy(&source.view().unwrap(), beyond, &mut scratch);
    assert_eq!(kind(result), Some(ErrorKind::Invalid));
    assert_eq!(copy.published_bytes(), source.published_bytes());
}

#[test]
fn keys_of_all_lengths_come_back_also_across_pages() {
    let lengths = [
        0,
        1,
        16,
        127,
        128,
        129,
        4093,
        4096,
        5000,
        16383,
        16384,
        MAX_KEY_BYTES,
    ];
    for page_bytes in [4096, 16384] {
        let (slab, mut appender) = slab(page_bytes);
        let mut scratch = Vec::new();
        let mut expected = 0;
        let references: Vec<u32> = lengths
            .iter()
            .enumerate()
            .map(|(number, &length)| {
                let reference = appender.append(&key(number, length)).unwrap();
                assert_eq!(reference as usize, expected, "records lie back to back");
                expected += record_bytes(length);
                reference
            })
            .collect();
        assert_eq!(slab.published_bytes(), expected);
        assert_eq!(slab.page_count(), expected.div_ceil(page_bytes));
        for (number, (&length, &reference)) in lengths.iter().zip(&references).enumerate() {
            let mut key = key(number, length);
            assert_eq!(slab.key_length(reference).unwrap(), length);
            assert_eq!(slab.key(reference, &mut scratch).unwrap(), key);
            assert!(slab.matches(reference, &key).unwrap());
            if let Some(last) = key.last_mut() {
                *last ^= 1;
                assert!(!slab.matches(reference, &key).unwrap());
                key.pop();
            } else {
                key.push(0);
            }
            assert!(!slab.matches(reference, &key).unwrap());
        }
    }
}

#[test]
fn every_reference_that_leads_past_the_end_is_refused() {
    let (slab, mut appender) = slab(4096);
    assert_eq!(kind(slab.matches(0, b"")), Some(ErrorKind::Invalid));
    appender.append(&[0xff; 300]).unwrap();
    let end = slab.published_bytes() as u32;
    for reference in [end, end + 1, 4095, 4096, 1 << 23, u32::MAX] {
        assert_eq!(kind(slab.key_length(reference)), Some(ErrorKind::Invalid));
        assert_eq!(
            kind(slab.key(reference, &mut Vec::new())),
            Some(ErrorKind::Invalid)
        );
        assert_eq!(
            kind(slab.matches(reference, b"a")),
            Some(ErrorKind::Invalid)
        );
    }
    // Inside the record every byte says "longer than what is left" or has no end.
    for reference in 2..end {
        assert_eq!(kind(slab.key_length(reference)), Some(ErrorKind::Invalid));
    }
}

#[test]
fn oversize_keys_and_full_slabs_are_refused_and_lose_nothing() {
    let (slab, mut appender) = slab(1 << 20);
    let long = vec![7; MAX_KEY_BYTES + 1];
    assert_eq!(kind(appender.append(&long)), Some(ErrorKind::TooLarge));
    assert_eq!(slab.published_bytes(), 0);
    let longest = &long[1..];
    let fit = MAX_SLAB_BYTES / record_bytes(MAX_KEY_BYTES);
    for _ in 0..fit {
        appender.append(longest).unwrap();
    }
    assert_eq!(kind(appender.append(longest)), Some(ErrorKind::TooLarge));
    let room = MAX_SLAB_BYTES - slab.published_bytes();
    let last = appender.append(&longest[..room - 3]).unwrap();
    assert_eq!(slab.published_bytes(), MAX_SLAB_BYTES);
    assert_eq!(kind(appender.append(b"")), Some(ErrorKind::TooLarge));
    assert_eq!(slab.key_length(last).unwrap(), room - 3);
}

#[test]
fn page_sizes_outside_the_range_are_refused() {
    for page_bytes in [0, 1, 2048, 4095, 4097, 3 << 12, 2 << 20] {
        let result = KeySlab::new(Arc::new(PageArena::new(usize::MAX)), page_bytes);
        assert_eq!(kind(result), Some(ErrorKind::Invalid), "{page_bytes}");
    }
}

#[test]
fn without_memory_the_appender_fails_and_the_slab_stays_as_it_was() {
    let arena = Arc::new(PageArena::new(2 << 20));
    let (slab, mut appender) = KeySlab::new(arena.clone(), 1 << 20).unwrap();
    let key = vec![1; MAX_KEY_BYTES];
    let stored = std::iter::repeat_with(|| appender.append(&key))
        .take_while(Result::is_ok)
        .count();
    assert_eq!(stored, (2 << 20) / record_bytes(MAX_KEY_BYTES));
    assert_eq!(kind(appender.append(&key)), Some(ErrorKind::Memory));
    assert_eq!(slab.published_bytes(), stored * record_bytes(MAX_KEY_BYTES));
    assert_eq!(
        appender.append(b"short").unwrap() as usize,
        slab.published_bytes() - 6
    );
    drop((slab, appender));
    assert_eq!(arena.statistics().allocated_bytes, 0);
}

#[test]
fn a_prepared_key_is_invisible_until_published_and_can_be_given_up() {
    let (slab, mut appender) = slab(4096);
    let first = appender.prepare(b"given up").unwrap();
    assert_eq!(
        kind(slab.matches(first, b"given up")),
        Some(ErrorKind::Invalid)
    );
    let second = appender.prepare(b"kept").unwrap();
    assert_eq!(first, second);
    appender.publish();
    assert!(slab.matches(second, b"kept").unwrap());
    appender.prepare(b"given up again").unwrap();
    assert_eq!(
        kind(appender.prepare(&[0; MAX_KEY_BYTES + 1])),
        Some(ErrorKind::TooLarge)
    );
    appender.publish();
    assert_eq!(
        slab.published_bytes(),
        record_bytes(4),
        "a failed preparation leaves nothing to publish"
    );
}

#[test]
fn readers_see_whole_keys_while_the_appender_works() {
    let count = if cfg!(miri) { 300 } else { 20_000 };
    let (slab, mut appender) = slab(4096);
    let newest = AtomicU32::new(u32::MAX);
    let numbered = |number: usize| key(number, number % 97);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                let mut scratch = Vec::new();
                let (mut number, mut reference) = (0, 0);
                while number < count {
                    if newest.load(Ordering::Acquire) == u32::MAX
                        || reference > newest.load(Ordering::Acquire)
                    {
                        std::thread::yield_now();
                        continue;
                    }
                    assert_eq!(slab.key(reference, &mut scratch).unwrap(), numbered(number));
                    assert!(slab.matches(reference, &numbered(number)).unwrap());
                    reference += record_bytes(number % 97) as u32;
                    number += 1;
                }
            });
        }
        for number in 0..count {
            let reference = appender.append(&numbered(number)).unwrap();
            newest.store(reference, Ordering::Release);
        }
    });
}
