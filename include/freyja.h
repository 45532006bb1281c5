/*
 * Freyja: an embedded key-value store. Keys and values are bytes; a store is a directory; the newest value of
 * a key wins. This header is the whole interface; docs/c-api.md says more.
 *
 * Conventions
 *
 * 1. Status. Functions return an int: 0 (FREYJA_OK), a negative code of Freyja, or a positive errno of the
 *    operating system. freyja_strerror has a text for each. What a function answers besides goes through
 *    pointers, which are written only on success unless the function says otherwise.
 * 2. Memory. What freyja_get, freyja_get_many and freyja_buf_alloc hand out belongs to the caller, who frees it
 *    with freyja_free_buf and nothing else. Everything passed in stays the caller's and may be reused as soon as
 *    the call returns, but for the buffer of freyja_put_buf.
 * 3. Lengths and NULL. Keys and values are any bytes, with a length; a length of 0 is the empty key or value,
 *    whatever the pointer. NULL with another length, a NULL handle and a NULL answer are FREYJA_INVALID, too
 *    long a key or value is FREYJA_TOO_LARGE. Closing and freeing NULL does nothing.
 * 4. Threads. A freyja_db may be used by any number of threads at the same time, and closed by any. A
 *    freyja_batch and a freyja_iter are used by one thread at a time, whichever. A freyja_pin may be released
 *    by any thread.
 * 5. Lifetimes. A handle is valid until freyja_close, freyja_batch_free or freyja_iter_free; then it answers
 *    FREYJA_CLOSED, also while other threads are in a call. Buffers outlive the handle they came from, batches know
 *    no store, and pinned values stay readable until freyja_unpin. Iterators answer FREYJA_CLOSED once their store
 *    is closed, and are to be freed all the same.
 * 6. Fork. A handle belongs to the process that opened it. In a forked child every call with it answers
 *    FREYJA_FORKED and touches nothing, and freyja_free_buf ignores buffers of the parent. Open stores after
 *    fork, not before.
 * 7. Durability. By default a write returns when it is durable. freyja_options.sync_mode relaxes that;
 *    freyja_sync catches up. After a failed write or sync the handle refuses to write (FREYJA_FAILED), goes on
 *    reading, and tells why through freyja_failure.
 * 8. Binary interface. Structs begin with struct_size and only ever grow at the end; constants keep their
 *    numbers; functions keep their parameters. Set what reserved fields there are to 0.
 *
 * A complete program:
 *
 *     #include <freyja.h>
 *     #include <stdio.h>
 *
 *     int main(void) {
 *         freyja_db *db;
 *         freyja_error err;
 *         void *val;
 *         size_t val_len;
 *         int status = freyja_open("example.db", NULL, &db, &err);
 *         if (status != FREYJA_OK) {
 *             fprintf(stderr, "cannot open: %s\n", err.message);
 *             return 1;
 *         }
 *         status = freyja_put(db, "answer", 6, "42", 2);
 *         if (status == FREYJA_OK)
 *             status = freyja_get(db, "answer", 6, &val, &val_len);
 *         if (status == FREYJA_OK) {
 *             printf("%.*s\n", (int)val_len, (char *)val);
 *             freyja_free_buf(val);
 *         } else {
 *             fprintf(stderr, "failed: %s\n", freyja_strerror(status));
 *         }
 *         return freyja_close(db) == FREYJA_OK && status == FREYJA_OK ? 0 : 1;
 *     }
 */


#ifndef FREYJA_H
#define FREYJA_H

#include <stddef.h>
#include <stdint.h>

#define FREYJA_VERSION_MAJOR 0
#define FREYJA_VERSION_MINOR 1
#define FREYJA_VERSION_PATCH 0
#define FREYJA_VERSION_STRING "0.1.0"
/** FREYJA_VERSION_MAJOR * 1000000 + FREYJA_VERSION_MINOR * 1000 + FREYJA_VERSION_PATCH. */
#define FREYJA_VERSION_NUMBER 1000

/** Before each function: the library exports it. Define it empty to see plain declarations. */
#ifndef FREYJA_API
#if defined(__GNUC__) && !defined(_WIN32)
#define FREYJA_API __attribute__((visibility("default")))
#else
#define FREYJA_API
#endif
#endif

/** Behind functions whose status must not be ignored. */
#ifndef FREYJA_MUST_USE
#if defined(__GNUC__)
#define FREYJA_MUST_USE __attribute__((warn_unused_result))
#else
#define FREYJA_MUST_USE
#endif
#endif

/** As freyja_options.memory_budget: a fourth of what the process may have, by its control groups and the RAM of the machine. */
#define FREYJA_BUDGET_AUTO UINT64_MAX

/** The default options: freyja_options o = FREYJA_OPTIONS_INIT; */
#define FREYJA_OPTIONS_INIT {(uint32_t)sizeof(freyja_options), 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0}

/**
 * Longest key in bytes. The shortest has 0.
 */
#define FREYJA_MAX_KEY_LEN 65536

/**
 * Longest value in bytes. The shortest has 0.
 */
#define FREYJA_MAX_VALUE_LEN 2147483647

/**
 * Most bytes of a batch, where each operation counts the bytes of its key and value and FREYJA_OPERATION_BYTES.
 */
#define FREYJA_MAX_BATCH_BYTES 4294967295

/**
 * What an operation counts in a batch besides its key and value.
 */
#define FREYJA_OPERATION_BYTES 48

/**
 * In the length of a key in the buffer of freyja_write_packed: the key is deleted.
 */
#define FREYJA_PACKED_DELETES 2147483648

/**
 * In the length of a key in the buffer of freyja_write_packed: the pair expires.
 */
#define FREYJA_PACKED_EXPIRES 1073741824

/**
 * What the functions return: 0, one of the negative codes below, or a positive errno of the operating
 * system. The numbers never change and are never used again for something else.
 */
typedef enum freyja_status {
    /**
     * Done.
     */
    FREYJA_OK = 0,
    /**
     * There is no such key, store or failure.
     */
    FREYJA_NOT_FOUND = -1,
    /**
     * There is nothing more to iterate over.
     */
    FREYJA_DONE = -2,
    /**
     * An argument is not acceptable; nothing was done.
     */
    FREYJA_INVALID = -3,
    /**
     * The buffer is too small; the size needed has been stored.
     */
    FREYJA_RANGE = -4,
    /**
     * In use elsewhere: the store is open, in this process or another; another thread is using the batch or iterator.
     */
    FREYJA_BUSY = -5,
    /**
     * The handle has been closed.
     */
    FREYJA_CLOSED = -6,
    /**
     * The store exists already and was to be new.
     */
    FREYJA_EXISTS = -7,
    /**
     * The store was opened for reading only.
     */
    FREYJA_READ_ONLY = -8,
    /**
     * A key or value is longer than allowed, or the store would outgrow a limit.
     */
    FREYJA_TOO_LARGE = -9,
    /**
     * Stored bytes are not what was written.
     */
    FREYJA_CORRUPT = -10,
    /**
     * An earlier failure stopped this handle; see freyja_failure.
     */
    FREYJA_FAILED = -11,
    /**
     * The store was written by a newer version of Freyja, in a format this one does not know.
     */
    FREYJA_VERSION = -12,
    /**
     * This is not supported here.
     */
    FREYJA_UNSUPPORTED = -13,
    /**
     * Memory could not be had.
     */
    FREYJA_MEMORY = -14,
    /**
     * The handle was inherited through fork and belongs to the parent process.
     */
    FREYJA_FORKED = -15,
    /**
     * A defect of Freyja was caught; the handle answers FREYJA_FAILED from now on.
     */
    FREYJA_PANIC = -16,
} freyja_status;

/**
 * Bits of freyja_options.flags.
 */
typedef enum freyja_open_flag {
    /**
     * The store must exist, else FREYJA_NOT_FOUND.
     */
    FREYJA_MUST_EXIST = 1,
    /**
     * The store must not exist, else FREYJA_EXISTS.
     */
    FREYJA_MUST_BE_NEW = 2,
    /**
     * The store must exist and is opened for reading only, also while another process writes it: writing calls answer
     * FREYJA_READ_ONLY, and nothing in the directory is changed.
     */
    FREYJA_READ_ONLY_STORE = 4,
} freyja_open_flag;

/**
 * Values of freyja_options.sync_mode: when a put or delete returns.
 */
typedef enum freyja_sync_mode {
    /**
     * When it is durable. Concurrent writers share one sync. Survives power loss. The default.
     */
    FREYJA_SYNC_ALWAYS = 0,
    /**
     * When the system has it; made durable every sync_interval_ms. Survives a killed process; power loss
     * costs at most the last interval.
     */
    FREYJA_SYNC_INTERVAL = 1,
    /**
     * When the system has it. Survives a killed process; power loss costs some of the latest writes.
     */
    FREYJA_SYNC_NONE = 2,
} freyja_sync_mode;

/**
 * Values of freyja_stats_t.recovery_way.
 */
typedef enum freyja_recovery_way {
    /**
     * All segment files were read.
     */
    FREYJA_RECOVERED_BY_SCAN = 0,
    /**
     * An image of the index was used, and what had been written after it was read.
     */
    FREYJA_RECOVERED_BY_IMAGE = 1,
} freyja_recovery_way;

/**
 * Values of freyja_stats_t.recovery_image_fault.
 */
typedef enum freyja_image_fault {
    /**
     * It was used.
     */
    FREYJA_IMAGE_USED = 0,
    /**
     * There was none.
     */
    FREYJA_IMAGE_ABSENT = 1,
    /**
     * It was cut short or damaged, or could not be read.
     */
    FREYJA_IMAGE_DAMAGED = 2,
    /**
     * Another version of the library wrote it.
     */
    FREYJA_IMAGE_VERSION = 3,
    /**
     * It belongs to another store.
     */
    FREYJA_IMAGE_OTHER_STORE = 4,
    /**
     * It refers to a segment file that is missing, another one, or shorter than it was.
     */
    FREYJA_IMAGE_SEGMENT_MISSING = 5,
    /**
     * It refers to records that are no longer there.
     */
    FREYJA_IMAGE_NEWER = 6,
    /**
     * There are older records of which it does not know.
     */
    FREYJA_IMAGE_SEGMENT_UNKNOWN = 7,
    /**
     * Compaction has replaced segment files to which it refers, and not all lists of what was moved are there.
     */
    FREYJA_IMAGE_MOVES_MISSING = 8,
} freyja_image_fault;

/**
 * Flags of freyja_iter_new_ex.
 */
typedef enum freyja_iter_flag {
    /**
     * Leave out the values, which are empty then. Keys in memory are given without reading the disk, unless pairs that
     * expire were written to the same segment file; other keys are read without their values.
     */
    FREYJA_ITER_KEYS_ONLY = 1,
} freyja_iter_flag;

/**
 * Values of freyja_options.key_storage: where the keys are kept besides the log.
 */
typedef enum freyja_key_storage {
    /**
     * In memory: exists and misses need no disk. The default.
     */
    FREYJA_KEYS_IN_MEMORY = 0,
    /**
     * On disk only: some 7 bytes of memory a key, however long it is. A get costs what it costs with keys in
     * memory; exists, put and delete read the record of a key that is there. Any store opens either way.
     */
    FREYJA_KEYS_ON_DISK = 1,
} freyja_key_storage;

/**
 * Values of freyja_options.read_mode: how values are read.
 */
typedef enum freyja_read_mode {
    /**
     * Through memory mappings, without system calls. The default.
     */
    FREYJA_READ_MAPPED = 0,
    /**
     * By system calls: a failing disk then gives an error instead of SIGBUS.
     */
    FREYJA_READ_PREAD = 1,
} freyja_read_mode;

/**
 * Values of freyja_options.read_checks: what is checked of a record before its value is given out.
 */
typedef enum freyja_read_checks {
    /**
     * All of its bytes, by their checksum. The default.
     */
    FREYJA_CHECK_CHECKSUM = 0,
    /**
     * That a record can lie there, and for gets that it is one of the key. The rest is what the disk says: for disks and
     * file systems that have checksums themselves, and for values that do. Long values and iterators are read several
     * times as fast. What opens, compacts, verifies or repairs a store checks all bytes in either case.
     */
    FREYJA_CHECK_KEY = 1,
} freyja_read_checks;

/**
 * Values of freyja_options.compaction: when the space of deleted and superseded pairs is given back.
 */
typedef enum freyja_compaction {
    /**
     * In the background, when there is too much; with background_threads 0, by freyja_maintain. The default.
     */
    FREYJA_COMPACTION_AUTOMATIC = 0,
    /**
     * Only by freyja_compact.
     */
    FREYJA_COMPACTION_MANUAL = 1,
} freyja_compaction;

/**
 * Values of freyja_finding.kind. Later versions may add some.
 */
typedef enum freyja_finding_kind {
    /**
     * Bytes that should be a record, or several, are not what was written.
     */
    FREYJA_FOUND_DAMAGED_RECORD = 1,
    /**
     * The header of a segment file is damaged; the copy at its end takes its place, so nothing is lost.
     */
    FREYJA_FOUND_DAMAGED_HEADER = 2,
    /**
     * Nothing in a segment file can be read.
     */
    FREYJA_FOUND_UNUSABLE_FILE = 3,
    /**
     * A segment file belongs to another store.
     */
    FREYJA_FOUND_OTHER_STORE = 4,
    /**
     * A segment file is a copy, or an older state, of another.
     */
    FREYJA_FOUND_REPEATED_SEGMENT = 5,
    /**
     * A segment's name belongs to something that is not a regular file; the store cannot be opened.
     */
    FREYJA_FOUND_NOT_A_FILE = 6,
    /**
     * By the numbers of the others, or by an image of the index, there were records where there are none: a file is missing or was
     * cut.
     */
    FREYJA_FOUND_MISSING_RECORDS = 7,
    /**
     * The end of a segment file counts other records than there are.
     */
    FREYJA_FOUND_WRONG_FOOTER = 8,
    /**
     * The hints in a segment file are damaged. Nothing but time depends on them.
     */
    FREYJA_FOUND_DAMAGED_HINTS = 9,
    /**
     * An image of the index is damaged. Opening rebuilds that part from the log.
     */
    FREYJA_FOUND_DAMAGED_IMAGE = 10,
    /**
     * An image of the index is intact and says something else than the log.
     */
    FREYJA_FOUND_WRONG_IMAGE = 11,
    /**
     * The end of a log that a crash cut short. None of it was promised to survive.
     */
    FREYJA_FOUND_TORN_TAIL = 16,
    /**
     * A file whose creation was cut short. The next open removes it.
     */
    FREYJA_FOUND_UNFINISHED_FILE = 17,
    /**
     * An image of the index that does not belong to the log as it is now. Opening passes it over.
     */
    FREYJA_FOUND_UNUSED_IMAGE = 18,
    /**
     * freyja_repair only: an older version of a key was saved.
     */
    FREYJA_FOUND_OLDER_VERSION = 19,
} freyja_finding_kind;

/**
 * Values of freyja_finding.severity.
 */
typedef enum freyja_severity {
    /**
     * What a crash leaves; opening the store mends it.
     */
    FREYJA_NOTE = 0,
    /**
     * Stored bytes are not what was written, but no key's newest value is lost.
     */
    FREYJA_DAMAGE = 1,
    /**
     * Newest values of keys are lost, or may be.
     */
    FREYJA_LOSS = 2,
} freyja_severity;

/**
 * Bits of the flags of freyja_repair.
 */
typedef enum freyja_repair_flag {
    /**
     * Saves the newest intact version of a key whose newest record is known to be damaged, and tells so.
     */
    FREYJA_REPAIR_OLDER_VERSIONS = 1,
} freyja_repair_flag;

/**
 * Values of freyja_memory_pressure_t.level: how full the memory budget is, and so what is done.
 */
typedef enum freyja_memory_level {
    /**
     * There is enough, or no limit.
     */
    FREYJA_MEMORY_NORMAL = 0,
    /**
     * It is watched.
     */
    FREYJA_MEMORY_MONITOR = 1,
    /**
     * Memory that waits for its next use goes back to the system, also what waits in the buffer pool.
     */
    FREYJA_MEMORY_GENTLE = 2,
    /**
     * The index is made smaller where keys have gone.
     */
    FREYJA_MEMORY_AGGRESSIVE = 3,
    /**
     * What would take more memory is answered with FREYJA_MEMORY.
     */
    FREYJA_MEMORY_EMERGENCY = 4,
} freyja_memory_level;

/**
 * Values of freyja_memory_pressure_t.trend: the change of what is in use from one sample to the next, which are five seconds apart.
 */
typedef enum freyja_memory_trend {
    /**
     * More than half a per cent comes back.
     */
    FREYJA_TREND_DECREASING = 0,
    /**
     * It is within half a per cent.
     */
    FREYJA_TREND_STABLE = 1,
    /**
     * It is half a per cent to two per cent more.
     */
    FREYJA_TREND_INCREASING = 2,
    /**
     * It is more than two per cent more.
     */
    FREYJA_TREND_CRITICAL = 3,
} freyja_memory_trend;

/**
 * How large a batch will be.
 */
typedef enum freyja_batch_profile {
    /**
     * As large as most batches of the process were. Without a limit but FREYJA_MAX_BATCH_BYTES.
     */
    FREYJA_BATCH_ADAPTIVE = 0,
    /**
     * Less than 10 KiB. Takes 4 KiB at first, and has a limit of 64 KiB unless it is told another.
     */
    FREYJA_BATCH_TINY = 1,
    /**
     * Less than 100 KiB. Takes 32 KiB at first, limit 512 KiB.
     */
    FREYJA_BATCH_SMALL = 2,
    /**
     * Less than 1 MiB. Takes 256 KiB at first, limit 4 MiB.
     */
    FREYJA_BATCH_MEDIUM = 3,
    /**
     * Less than 10 MiB. Takes 2 MiB at first, limit 32 MiB.
     */
    FREYJA_BATCH_LARGE = 4,
    /**
     * More. Takes 16 MiB at first, limit 256 MiB.
     */
    FREYJA_BATCH_HUGE = 5,
} freyja_batch_profile;

/**
 * Values for freyja_pool_set_fit.
 */
typedef enum freyja_fit {
    /**
     * The shortest free memory that is long enough: the default.
     */
    FREYJA_FIT_BEST = 0,
    /**
     * That with the lowest address which is long enough. Has to look at all before it.
     */
    FREYJA_FIT_FIRST = 1,
    /**
     * The longest.
     */
    FREYJA_FIT_WORST = 2,
} freyja_fit;

/**
 * Operations to be written together by freyja_write. It belongs to no store. The pointer is a handle, not an
 * address: it is checked at every call, and one that has been freed answers FREYJA_CLOSED. A batch is used by one
 * thread at a time, whichever; a second one that tries meanwhile is answered FREYJA_BUSY.
 */
typedef struct freyja_batch freyja_batch;

/**
 * An open store. The pointer is a handle, not an address: it is checked at every call, and one that has been
 * closed answers FREYJA_CLOSED. Any number of threads may use a handle at the same time.
 */
typedef struct freyja_db freyja_db;

/**
 * Goes over the pairs of a store. The pointer is a handle, not an address: it is checked at every call, and one that has
 * been freed answers FREYJA_CLOSED, as does one whose store was closed. An iterator is used by one thread at a time,
 * whichever; a second one that tries meanwhile is answered FREYJA_BUSY.
 */
typedef struct freyja_iter freyja_iter;

/**
 * Keeps a value readable. The pointer is a handle, not an address: it is checked when it is released, and one that has been
 * released answers FREYJA_CLOSED. Any thread may release it.
 */
typedef struct freyja_pin freyja_pin;

/**
 * Options of freyja_open. Start from FREYJA_OPTIONS_INIT or freyja_options_init, then set fields. A field
 * that is said to have a default takes it when it is 0.
 */
typedef struct freyja_options {
    /**
     * sizeof(freyja_options), so that later versions of the library know what the caller knows.
     */
    uint32_t struct_size;
    /**
     * FREYJA_MUST_EXIST, FREYJA_MUST_BE_NEW, FREYJA_READ_ONLY_STORE or 0.
     */
    uint32_t flags;
    /**
     * FREYJA_SYNC_ALWAYS, FREYJA_SYNC_INTERVAL or FREYJA_SYNC_NONE.
     */
    uint32_t sync_mode;
    /**
     * Milliseconds between syncs with FREYJA_SYNC_INTERVAL, up to 3600000; default 1000.
     */
    uint32_t sync_interval_ms;
    /**
     * FREYJA_KEYS_IN_MEMORY or FREYJA_KEYS_ON_DISK.
     */
    uint32_t key_storage;
    /**
     * FREYJA_READ_MAPPED or FREYJA_READ_PREAD.
     */
    uint32_t read_mode;
    /**
     * Threads that Freyja may run: 0 or 1, which is what FREYJA_OPTIONS_INIT says. With 0, calls that make
     * work necessary do it themselves.
     */
    uint32_t background_threads;
    /**
     * FREYJA_CHECK_CHECKSUM or FREYJA_CHECK_KEY.
     */
    uint32_t read_checks;
    /**
     * Bytes at which a segment file is full, from 4 KiB to 1 GiB; default 64 MiB. Those of a small store are smaller: about
     * one part in 64 of it, but 5 MiB at least if that is less than this.
     */
    uint64_t segment_size;
    /**
     * Bytes of a page of the memory that holds keys, a power of two from 4 KiB to 1 MiB; default 4 KiB.
     */
    uint64_t slab_size;
    /**
     * Bytes of memory that the store may have; 0 is no limit, FREYJA_BUDGET_AUTO a fourth of what the process may have. What
     * does not fit is answered with FREYJA_MEMORY before anything is written; reads, deletes, and overwrites that need no
     * more memory go on. Not counted are buffers of values, batches of the caller, and mapped files.
     */
    uint64_t memory_budget;
    /**
     * How many keys are to be expected, so that the index is made large enough at once; default unknown.
     */
    uint64_t expected_keys;
    /**
     * FREYJA_COMPACTION_AUTOMATIC or FREYJA_COMPACTION_MANUAL.
     */
    uint32_t compaction;
    /**
     * How large the segment files may become, in percent of what is live in them: 110 to 1000; default 146. They are
     * compacted early enough that what is copied meanwhile has room within that. A store of a few segment files may be
     * larger, since the one that is written is not compacted.
     */
    uint32_t space_amplification;
    /**
     * How many bytes compaction may read and write in a second; 0 is no limit.
     */
    uint64_t compaction_bytes_per_second;
} freyja_options;

/**
 * The details of a failure. The caller provides the memory; Freyja fills it in.
 */
typedef struct freyja_error {
    /**
     * The status that the failed function returned.
     */
    int32_t code;
    /**
     * The operating system's errno, 0 if the failure did not come from a system call.
     */
    int32_t sys_errno;
    /**
     * Offset in bytes into the file that the message names, 0 if none is known.
     */
    uint64_t offset;
    /**
     * One sentence in UTF-8, ended by NUL: which file, what is wrong, what to do.
     */
    char message[496];
} freyja_error;

/**
 * Bytes that belong to an iterator.
 */
typedef struct freyja_slice {
    /**
     * Where they begin; not NULL, even if there are none. Not aligned.
     */
    const void *data;
    /**
     * How many they are.
     */
    size_t len;
} freyja_slice;

/**
 * Counts of the buffer pool, which all stores of the process share. While other threads use it the fields may be of
 * slightly different moments, but none is ever below or above what happened.
 */
typedef struct freyja_pool_stats_t {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * Size classes; see freyja_pool_class_stats.
     */
    uint32_t classes;
    /**
     * Buffers handed out so far.
     */
    uint64_t gets;
    /**
     * Of these, how many came from the magazine of the thread, or were large and had been used before.
     */
    uint64_t hits;
    /**
     * The others.
     */
    uint64_t misses;
    /**
     * Buffers that callers hold, and blocks of batches.
     */
    uint64_t in_use;
    /**
     * Buffers that wait in magazines, and free memory of large ones that waits, as many pieces as it is in.
     */
    uint64_t pooled;
    /**
     * Requests for more than the largest class holds.
     */
    uint64_t oversize;
    /**
     * Bytes of the large buffers that callers hold, those of oversize requests, and of blocks of batches above 32 KiB.
     */
    uint64_t large_bytes;
    /**
     * Pointers that freyja_free_buf refused.
     */
    uint64_t refused;
    /**
     * Bytes that wait for their next use: room of magazines, empty spans that keep their memory, large buffers.
     */
    uint64_t idle_bytes;
    /**
     * Bytes that may wait at most; see freyja_pool_set_idle_limit.
     */
    uint64_t idle_limit;
    /**
     * Bytes of addresses that classes have taken so far; memory is behind at most these.
     */
    uint64_t span_bytes;
    /**
     * Threads that have magazines.
     */
    uint64_t threads;
} freyja_pool_stats_t;

/**
 * Counts of one size class of the buffer pool.
 */
typedef struct freyja_pool_class_t {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Bytes of a buffer of this class: the longest request that it serves.
     */
    uint64_t size;
    /**
     * Buffers handed out so far.
     */
    uint64_t gets;
    /**
     * Of these, how many came from the magazine of the thread.
     */
    uint64_t hits;
    /**
     * The others.
     */
    uint64_t misses;
    /**
     * Buffers that callers hold.
     */
    uint64_t in_use;
    /**
     * Buffers that wait in magazines.
     */
    uint64_t pooled;
} freyja_pool_class_t;

/**
 * Where the newest record of a key lies. The place may change at any time; it is for tools and tests.
 */
typedef struct freyja_location {
    /**
     * Bytes of this struct that the library knows.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Number of the segment; its file is called after it, in 16 hexadecimal digits.
     */
    uint64_t segment_id;
    /**
     * Where the record begins in the file, in bytes.
     */
    uint64_t offset;
    /**
     * Length of the record in the file, in bytes.
     */
    uint64_t length;
    /**
     * Sequence number of the write: later writes have higher ones.
     */
    uint64_t sequence;
} freyja_location;

/**
 * Told by a long call how far it has come: `done` bytes of `total`. Anything but 0 as the answer cancels the call. It runs in the
 * thread of the call; it may use the store, but must neither close it nor leave other than by returning.
 */
typedef int (*freyja_progress)(void *user, uint64_t done, uint64_t total);

/**
 * Counts of a store. While other threads write, the fields may be of slightly different moments.
 */
typedef struct freyja_stats_t {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Keys in the store.
     */
    uint64_t keys;
    /**
     * Bytes of memory that the index takes besides the slabs below.
     */
    uint64_t index_bytes;
    /**
     * Bytes of all keys in the store.
     */
    uint64_t key_bytes;
    /**
     * Slabs: pages of memory that hold keys.
     */
    uint64_t slab_count;
    /**
     * Bytes of the slabs.
     */
    uint64_t slab_allocated_bytes;
    /**
     * Bytes of the slabs that keys of the store take.
     */
    uint64_t slab_live_bytes;
    /**
     * Bytes of the slabs that are unused or taken by removed keys, until they are reclaimed.
     */
    uint64_t slab_wasted_bytes;
    /**
     * Bytes of all segment files, with what is allocated in advance.
     */
    uint64_t disk_bytes;
    /**
     * Bytes of records in the files that no key needs any more.
     */
    uint64_t dead_bytes;
    /**
     * Segment files.
     */
    uint64_t segments;
    /**
     * Successful puts since the store was opened.
     */
    uint64_t puts;
    /**
     * Gets and existence checks since the store was opened.
     */
    uint64_t gets;
    /**
     * Deletes that removed a key since the store was opened.
     */
    uint64_t deletes;
    /**
     * Syncs of segment files since the store was opened.
     */
    uint64_t syncs;
    /**
     * Sequence number of the latest write.
     */
    uint64_t last_sequence;
    /**
     * Sequence number up to which everything is durable.
     */
    uint64_t durable_sequence;
    /**
     * Records that were found when the store was opened.
     */
    uint64_t recovered_records;
    /**
     * Bytes of an unfinished write that opening cut off.
     */
    uint64_t recovery_cut_bytes;
    /**
     * Damaged places that opening found and kept.
     */
    uint64_t recovery_damaged_spans;
    /**
     * Bytes of these places.
     */
    uint64_t recovery_damaged_bytes;
    /**
     * Segment files that should have been there and were not.
     */
    uint64_t recovery_missing_segments;
    /**
     * Time that reading the files took when the store was opened, in microseconds.
     */
    uint64_t recovery_microseconds;
    /**
     * Buffers handed out by freyja_get and not freed yet, and blocks of batches, in the whole process.
     */
    uint64_t buffers_in_use;
    /**
     * Buffers handed out so far, in the whole process.
     */
    uint64_t buffer_gets;
    /**
     * Of these, how many came from a cache.
     */
    uint64_t buffer_hits;
    /**
     * Pointers that freyja_free_buf refused so far, in the whole process.
     */
    uint64_t buffers_refused;
    /**
     * How the index was brought back when the store was opened: FREYJA_RECOVERED_BY_SCAN or
     * FREYJA_RECOVERED_BY_IMAGE.
     */
    uint64_t recovery_way;
    /**
     * Why the newest image of the index was not used: a value of freyja_image_fault.
     */
    uint64_t recovery_image_fault;
    /**
     * Images of the index written since the store was opened.
     */
    uint64_t images_written;
    /**
     * Images that could not be written, which costs time at the next open and nothing else.
     */
    uint64_t image_failures;
    /**
     * Parts of the index loaded from an image.
     */
    uint64_t shards_loaded;
    /**
     * Of these, how many were damaged there and were rebuilt from the segment files.
     */
    uint64_t shards_rebuilt;
    /**
     * With FREYJA_KEYS_IN_MEMORY: keys that are not in memory yet, because an image of the index holds none.
     */
    uint64_t missing_keys;
    /**
     * Parts of the index that are not loaded yet. While there are any, keys, key_bytes and dead_bytes leave out what
     * was written after the image.
     */
    uint64_t shards_absent;
    /**
     * Segment files of which the image showed everything when the store was opened.
     */
    uint64_t segments_from_image;
    /**
     * Segment files of which only the hints were read then. Damage to the records is told to who reads them.
     */
    uint64_t segments_from_hints;
    /**
     * Segment files that were read as a whole then.
     */
    uint64_t segments_scanned;
    /**
     * Of these, how many had hints that were damaged or could not be read, which costs time and nothing else.
     */
    uint64_t hints_unusable;
    /**
     * Size of the newest image of the index; 0 if none is in use. Not part of disk_bytes.
     */
    uint64_t image_bytes;
    /**
     * RAM of the index that holds nothing now: freed pages that are kept for reuse, and replaced tables that a reader
     * may still see. With index_bytes and slab_allocated_bytes it makes up the index's RAM.
     */
    uint64_t index_idle_bytes;
    /**
     * Bytes in the segment files that the keys of the store need. disk_bytes over this is the space amplification.
     */
    uint64_t live_bytes;
    /**
     * Of dead_bytes, those of records that say that a key was deleted, which go when nothing older is left.
     */
    uint64_t tombstone_bytes;
    /**
     * Superseded and deleted pairs that are still in the segment files.
     */
    uint64_t dead_pairs;
    /**
     * Bytes written by puts, deletes and batches since the store was opened. What compaction wrote over this, and one more,
     * is the write amplification.
     */
    uint64_t written_bytes;
    /**
     * Merges of segment files since the store was opened.
     */
    uint64_t compactions;
    /**
     * Bytes that they read.
     */
    uint64_t compaction_bytes_read;
    /**
     * Bytes that they wrote.
     */
    uint64_t compaction_bytes_written;
    /**
     * Values pinned by freyja_get_pinned and not released yet, in the whole process.
     */
    uint64_t pins_in_use;
    /**
     * RAM that lists of compactions, and images and hints of segments that are being written, take now, in the whole process.
     */
    uint64_t work_bytes;
    /**
     * All RAM that the store has, as freyja_options.memory_budget counts it: with 384 KiB for what there is whatever is stored, of
     * which a small store needs less.
     */
    uint64_t memory_used_bytes;
    /**
     * RAM that the store may have; 0 without a limit.
     */
    uint64_t memory_budget_bytes;
    /**
     * How often something was refused for want of budget.
     */
    uint64_t memory_refusals;
    /**
     * How often memory that waited for its next use was given back because the budget filled up.
     */
    uint64_t memory_trims;
    /**
     * How often the index was made smaller for that reason where keys had gone.
     */
    uint64_t memory_evacuations;
    /**
     * Bytes of addresses of the regions that buffers above the largest class of the buffer pool lie in, and blocks of batches
     * above 32 KiB, in the whole process.
     */
    uint64_t region_mapped_bytes;
    /**
     * Of these, bytes of buffers and blocks in use.
     */
    uint64_t region_allocated_bytes;
    /**
     * Bytes of RAM that wait there for their next use. Over the sum of these and region_allocated_bytes they are the
     * fragmentation of the regions.
     */
    uint64_t region_idle_bytes;
    /**
     * Free neighbours that buffers and blocks there had when they were freed.
     */
    uint64_t region_free_neighbours;
    /**
     * Of these, how many were joined with what was freed: all but those in another region.
     */
    uint64_t region_coalesced;
    /**
     * RAM of all batches, in the whole process: their blocks, used or not yet.
     */
    uint64_t batch_bytes;
    /**
     * Merges since the image was written, whose lists of moved records were followed when the store was opened.
     */
    uint64_t merges_followed;
} freyja_stats_t;

/**
 * How full a memory budget is, and where that goes. Samples are taken every five seconds where there is a budget: by the
 * background thread, or by freyja_maintain.
 */
typedef struct freyja_memory_pressure_t {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * A value of freyja_memory_level.
     */
    uint32_t level;
    /**
     * A value of freyja_memory_trend.
     */
    uint32_t trend;
    /**
     * How sure the forecast is, in thousandths; 0 before there have been twelve samples, when nothing is forecast.
     */
    uint32_t confidence;
    /**
     * Bytes in use, as the budget counts them.
     */
    uint64_t used_bytes;
    /**
     * The budget in bytes; 0 without a limit.
     */
    uint64_t budget_bytes;
    /**
     * Bytes by which use grows in a second; negative if memory comes back.
     */
    int64_t bytes_per_second;
    /**
     * Bytes expected to be in use after 30 seconds; used_bytes before there is a forecast, here and below.
     */
    uint64_t forecast_30_seconds;
    /**
     * After 60 seconds.
     */
    uint64_t forecast_60_seconds;
    /**
     * After 120 seconds.
     */
    uint64_t forecast_120_seconds;
    /**
     * Milliseconds until growth is refused, if it goes on like this; UINT64_MAX if it does not come to that, or nothing is known.
     */
    uint64_t milliseconds_to_critical;
    /**
     * Samples that this rests on.
     */
    uint64_t samples;
} freyja_memory_pressure_t;

/**
 * Told when the level of pressure on a store's memory budget changes, and when the store has acted on it. It runs in the store's
 * background thread, or in freyja_maintain; never in a call that reads or writes. It may read and write the store, but must
 * not call freyja_close, freyja_maintain or freyja_memory_set_callback for it, nor leave other than by returning. `pressure` is valid
 * until it returns.
 */
typedef void (*freyja_memory_callback)(void *user, const struct freyja_memory_pressure_t *pressure);

/**
 * Something that verifying or repairing came upon. It and what it points to is valid during the call of the callback.
 */
typedef struct freyja_finding {
    /**
     * Bytes of this struct that the library knows: do not look at fields beyond.
     */
    uint32_t struct_size;
    /**
     * A value of freyja_finding_kind.
     */
    uint32_t kind;
    /**
     * A value of freyja_severity.
     */
    uint32_t severity;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Where in the file it begins, in bytes.
     */
    uint64_t offset;
    /**
     * Of how many bytes it speaks; 0 if of none in particular.
     */
    uint64_t length;
    /**
     * Sequence number of the first record concerned; 0 if not known.
     */
    uint64_t first_sequence;
    /**
     * Sequence number of the last record concerned.
     */
    uint64_t last_sequence;
    /**
     * Path of the file.
     */
    const char *file;
    /**
     * What it means and what to do: one sentence in UTF-8.
     */
    const char *message;
    /**
     * The key concerned; NULL if it is not known or not one.
     */
    const void *key;
    /**
     * Length of the key in bytes.
     */
    size_t key_len;
} freyja_finding;

/**
 * Gets each finding, in the thread of the caller. May be NULL where it is asked for.
 */
typedef void (*freyja_finding_fn)(const struct freyja_finding *finding, void *user);

/**
 * What verifying a store amounts to.
 */
typedef struct freyja_verify_report {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Segment files that count.
     */
    uint64_t segments;
    /**
     * Bytes of these that were read.
     */
    uint64_t bytes;
    /**
     * Intact puts and deletes.
     */
    uint64_t records;
    /**
     * Keys whose newest record is intact.
     */
    uint64_t keys;
    /**
     * Keys whose newest record is known to be damaged. Each has a finding that names it.
     */
    uint64_t lost_keys;
    /**
     * Records that are damaged or missing, as far as they can be counted.
     */
    uint64_t lost_records;
    /**
     * Of these, how many leave no trace of their key.
     */
    uint64_t unidentified_records;
    /**
     * How many of the keys were last written before a lost record of which nobody can tell for sure whose it was: at most
     * as many of them as such records had a newer value than the one that is there.
     */
    uint64_t keys_in_doubt;
    /**
     * Bytes that a crash cut short.
     */
    uint64_t torn_bytes;
    /**
     * Images of the index.
     */
    uint64_t images;
    /**
     * Findings of every kind.
     */
    uint64_t findings;
    /**
     * Findings of severity FREYJA_DAMAGE or FREYJA_LOSS.
     */
    uint64_t damages;
    /**
     * Findings of severity FREYJA_LOSS.
     */
    uint64_t losses;
} freyja_verify_report;

/**
 * What repairing a store amounts to.
 */
typedef struct freyja_repair_report {
    /**
     * Bytes of this struct that the library knows: fields beyond are 0.
     */
    uint32_t struct_size;
    /**
     * Always 0.
     */
    uint32_t reserved;
    /**
     * Keys saved, those with older versions as well.
     */
    uint64_t keys_saved;
    /**
     * Bytes of their keys and values.
     */
    uint64_t bytes_saved;
    /**
     * Of these keys, how many with an older version; only with FREYJA_REPAIR_OLDER_VERSIONS.
     */
    uint64_t older_versions;
    /**
     * Keys that are known and were left out, because their newest record is damaged. Each has a finding that names it.
     */
    uint64_t keys_left_out;
    /**
     * Keys left out because their pair had expired, and that had been noticed. Others that have expired are saved with
     * their expiry.
     */
    uint64_t keys_expired;
    /**
     * As in freyja_verify_report, of the original.
     */
    uint64_t keys_in_doubt;
    /**
     * As in freyja_verify_report, of the original.
     */
    uint64_t lost_records;
    /**
     * As in freyja_verify_report, of the original.
     */
    uint64_t unidentified_records;
    /**
     * As in freyja_verify_report, of the original.
     */
    uint64_t damages;
    /**
     * As in freyja_verify_report, of the original.
     */
    uint64_t losses;
} freyja_repair_report;

/**
 * What stands before each pair that freyja_iter_next_batch stores: then comes the key, and right behind it the value.
 */
typedef struct freyja_pair {
    /**
     * Length of the key in bytes.
     */
    uint32_t key_len;
    /**
     * Length of the value in bytes.
     */
    uint32_t val_len;
} freyja_pair;

#ifdef __cplusplus
extern "C" {
#endif // __cplusplus

/**
 * The version of the library that is running, such as "1.2.3". The one of the header is
 * FREYJA_VERSION_STRING.
 *
 * @return a text that is valid for ever and must not be freed.
 */
FREYJA_API const char *freyja_version(void);

/**
 * The version of the library that is running as a number that grows with every version:
 * major * 1000000 + minor * 1000 + patch. The one of the header is FREYJA_VERSION_NUMBER.
 */
FREYJA_API uint32_t freyja_version_number(void);

/**
 * The text of a status, a code of Freyja or a positive errno.
 *
 * @param status  any number.
 * @return a text that is valid for ever and must not be freed; never NULL.
 */
FREYJA_API const char *freyja_strerror(int status);

/**
 * Fills in the default options; for languages that cannot use FREYJA_OPTIONS_INIT.
 *
 * @param[out] o       the options.
 * @param struct_size  sizeof(freyja_options).
 * @return FREYJA_OK; FREYJA_INVALID if `o` is NULL or the size cannot be one.
 */
FREYJA_API int freyja_options_init(struct freyja_options *o, size_t struct_size);

/**
 * Opens the store in the directory `path`, by default creating it if it does not exist.
 *
 * A store is open for writing once at a time, whether in this process or another. Any number of handles, in any processes, may
 * read it meanwhile: opened with FREYJA_READ_ONLY_STORE they see it as it was then, and as it is when they call freyja_refresh.
 * Recovery after a crash happens in here; freyja_stats tells what it found.
 *
 * @param path      path of the directory, ended by NUL.
 * @param o         options, or NULL for the defaults.
 * @param[out] out  the handle; close it with freyja_close.
 * @param[out] err  details of a failure, written only then; may be NULL.
 * @return FREYJA_OK; FREYJA_BUSY if the store is open elsewhere; FREYJA_NOT_FOUND, FREYJA_EXISTS as the
 *         flags demand; FREYJA_VERSION, FREYJA_CORRUPT, FREYJA_INVALID, FREYJA_UNSUPPORTED, FREYJA_MEMORY;
 *         an errno.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_open(const char *path,
                const struct freyja_options *o,
                struct freyja_db **out,
                struct freyja_error *err);

/**
 * Closes a store: what was written is made durable, the directory's lock is released, and the handle becomes
 * invalid whatever the answer. Calls that other threads are in end safely, some with FREYJA_CLOSED.
 * Closing NULL does nothing.
 *
 * @return FREYJA_OK; FREYJA_CLOSED if the handle was closed before; FREYJA_FORKED in a child process, where
 *         nothing is done; FREYJA_FAILED or an errno if not everything became durable.
 */
FREYJA_API int freyja_close(struct freyja_db *db);

/**
 * Makes an empty batch.
 *
 * @param[out] out  the batch; free it with freyja_batch_free.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API FREYJA_MUST_USE int freyja_batch_new(struct freyja_batch **out);

/**
 * Makes an empty batch of which it is known how large it will be, or that must not be larger.
 *
 * @param profile      a value of freyja_batch_profile: how much memory it takes with its first operation. More comes as it is
 *                     needed, bit by bit.
 * @param limit_bytes  what the batch may count, as for FREYJA_MAX_BATCH_BYTES, which it never exceeds: an operation that would
 *                     take it beyond is answered FREYJA_TOO_LARGE, one that just fits is not. 0 for the limit of the profile.
 * @param[out] out     the batch; free it with freyja_batch_free.
 * @return FREYJA_OK; FREYJA_INVALID also if the profile has no meaning; FREYJA_MEMORY.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_batch_new_ex(uint32_t profile,
                        uint64_t limit_bytes,
                        struct freyja_batch **out);

/**
 * Adds a put to a batch: a copy of key and value. If it cannot be added, the batch stays as it was.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param val, val_len  0 to FREYJA_MAX_VALUE_LEN bytes.
 * @return FREYJA_OK; FREYJA_TOO_LARGE also if the batch would exceed its limit, at most FREYJA_MAX_BATCH_BYTES; FREYJA_INVALID,
 *         FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_batch_put(struct freyja_batch *batch,
                     const void *key,
                     size_t key_len,
                     const void *val,
                     size_t val_len);

/**
 * Adds a put of a pair that expires to a batch, as freyja_batch_put adds one that does not.
 *
 * @param key, key_len   0 to FREYJA_MAX_KEY_LEN bytes.
 * @param val, val_len   0 to FREYJA_MAX_VALUE_LEN bytes.
 * @param expires_at_ms  as for freyja_put_ex: the moment in milliseconds since 1970-01-01 UTC; 0 for never.
 * @return as freyja_batch_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_batch_put_ex(struct freyja_batch *batch,
                        const void *key,
                        size_t key_len,
                        const void *val,
                        size_t val_len,
                        uint64_t expires_at_ms);

/**
 * Adds a deletion to a batch, of a key that may be there or not when the batch is written.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @return as freyja_batch_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_batch_delete(struct freyja_batch *batch,
                        const void *key,
                        size_t key_len);

/**
 * Empties a batch and forgets its savepoints. At most 1 MiB of its memory is kept for its next use.
 *
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API int freyja_batch_clear(struct freyja_batch *batch);

/**
 * Counts the operations in a batch.
 *
 * @param[out] out  number of operations.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API int freyja_batch_count(struct freyja_batch *batch, uint64_t *out);

/**
 * Remembers what is in a batch, for freyja_batch_rollback_to. Savepoints nest and cost little.
 *
 * @param[out] out  number of the savepoint, which no other one of this batch has or will have.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_BUSY, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
 */
FREYJA_API FREYJA_MUST_USE int freyja_batch_savepoint(struct freyja_batch *batch, uint64_t *out);

/**
 * Takes out of a batch what was added since a savepoint. The savepoint stays, later ones are forgotten.
 *
 * @param savepoint  what freyja_batch_savepoint stored.
 * @return FREYJA_OK; FREYJA_INVALID also if the batch has no such savepoint, or has forgotten it; FREYJA_BUSY,
 *         FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_batch_rollback_to(struct freyja_batch *batch,
                             uint64_t savepoint);

/**
 * Frees a batch. Freeing NULL does nothing. A call that another thread is in ends safely.
 *
 * @return FREYJA_OK; FREYJA_CLOSED if it was freed before; FREYJA_INVALID, FREYJA_FORKED.
 */
FREYJA_API int freyja_batch_free(struct freyja_batch *batch);

/**
 * Stores a value under a key, replacing the value that was there. When it returns FREYJA_OK the value is
 * visible to all threads and as durable as the store's sync mode says. With any other answer the old value
 * stands, unless the answer is FREYJA_FAILED or an errno of a failed sync: then either may be there after the
 * store is opened again.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param val, val_len  0 to FREYJA_MAX_VALUE_LEN bytes.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_TOO_LARGE, FREYJA_READ_ONLY, FREYJA_CLOSED, FREYJA_FORKED,
 *         FREYJA_MEMORY; FREYJA_FAILED after an earlier failure; an errno, such as ENOSPC.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_put(struct freyja_db *db,
               const void *key,
               size_t key_len,
               const void *val,
               size_t val_len);

/**
 * Stores a value under a key as freyja_put does, until a moment from which on every read answers as if the key were not
 * there. A moment that has passed is no error: what was under the key is gone. freyja_count counts the key until it is
 * written again, deleted or compacted away. A later put of the key replaces the expiry along with the value.
 *
 * The moment is compared with the system's clock at every read. A key that was found expired stays so if the clock steps
 * back, also after the store was closed and opened again; docs/c-api.md tells what a crash may forget.
 *
 * @param key, key_len   0 to FREYJA_MAX_KEY_LEN bytes.
 * @param val, val_len   0 to FREYJA_MAX_VALUE_LEN bytes.
 * @param expires_at_ms  the moment in milliseconds since 1970-01-01 UTC; 0 for never.
 * @return as freyja_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_put_ex(struct freyja_db *db,
                  const void *key,
                  size_t key_len,
                  const void *val,
                  size_t val_len,
                  uint64_t expires_at_ms);

/**
 * Removes a key. If it is not there, nothing is written. A key that has expired is not there, but is removed all the same,
 * so that no clock brings it back.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @return FREYJA_OK; FREYJA_NOT_FOUND; otherwise as freyja_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_delete(struct freyja_db *db,
                  const void *key,
                  size_t key_len);

/**
 * Writes the operations of a batch in order: whatever happens, all of them take place or none. freyja_get_many sees
 * all or none; other reads may see some of them shortly before the others. Of several operations on one key the
 * last one counts. The batch stays as it is, and may be written again, and to another store. An empty one writes
 * nothing.
 *
 * @return FREYJA_OK; FREYJA_BUSY if another thread is using the batch; FREYJA_CLOSED for either handle; otherwise
 *         as freyja_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_write(struct freyja_db *db,
                 struct freyja_batch *batch);

/**
 * Writes puts and deletions that lie packed in one buffer as freyja_write does those of a batch: all of them take place or
 * none. It takes one call where a batch takes one for each, and copies nothing but into the log.
 *
 * An operation begins with the key's length and the value's, both in 32 bits; then follow, if the pair expires, the moment in
 * milliseconds since 1970-01-01 UTC in 64 bits, the bytes of the key, and those of the value. The next one follows at once.
 * All numbers are little-endian, and need not be aligned. FREYJA_PACKED_DELETES added to the key's length makes it a deletion,
 * whose value has the length 0, FREYJA_PACKED_EXPIRES a put of a pair that expires; 0 is no moment and means never.
 *
 * @param ops, ops_len  the operations, back to back; no other thread changes them meanwhile. With 0 bytes nothing is
 *                      written.
 * @return FREYJA_OK; FREYJA_INVALID also if an operation goes beyond the end of the buffer, or a deletion has a value or
 *         expires; FREYJA_TOO_LARGE also if they count more than FREYJA_MAX_BATCH_BYTES; otherwise as freyja_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_write_packed(struct freyja_db *db,
                        const void *ops,
                        size_t ops_len);

/**
 * Makes everything that was written before the call durable, whatever the sync mode.
 *
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED; FREYJA_FAILED after an earlier failure; an
 *         errno, after which nothing more can be written through this handle.
 */
FREYJA_API FREYJA_MUST_USE int freyja_sync(struct freyja_db *db);

/**
 * Stores the content of a buffer of freyja_buf_alloc, freyja_get or freyja_get_many under a key as freyja_put does, and
 * with FREYJA_OK gives the buffer back; with any other answer it stays the caller's, unchanged. The value is copied
 * once, to where it goes in the log. No other thread may write to the buffer or free it meanwhile; that such a free is
 * refused is all that happens.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes, not in the buffer.
 * @param buf           the buffer, from its beginning; `val_len` bytes of it are filled.
 * @param val_len       0 to FREYJA_MAX_VALUE_LEN, and no more than the buffer has.
 * @return FREYJA_OK; FREYJA_INVALID also if `buf` is not that of a buffer in use, or one that is shorter; otherwise as
 *         freyja_put.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_put_buf(struct freyja_db *db,
                   const void *key,
                   size_t key_len,
                   void *buf,
                   size_t val_len);

/**
 * Gets a copy of the value of a key. An empty value is FREYJA_OK with length 0 and a pointer that is not NULL.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param[out] val      the copy, aligned to 16 bytes; free it with freyja_free_buf.
 * @param[out] val_len  its length in bytes.
 * @return FREYJA_OK; FREYJA_NOT_FOUND; FREYJA_CORRUPT if the stored bytes are damaged; FREYJA_INVALID,
 *         FREYJA_TOO_LARGE, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY; an errno.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_get(struct freyja_db *db,
               const void *key,
               size_t key_len,
               void **val,
               size_t *val_len);

/**
 * Copies the value of a key into memory of the caller. If that is too small nothing is copied, and `val_len`
 * tells how much is needed; so a call with `cap` 0 asks for the length.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param buf, cap      where the value goes, and how many bytes fit; must not overlap the key.
 * @param[out] val_len  length of the value in bytes, written with FREYJA_OK and FREYJA_RANGE.
 * @return FREYJA_OK; FREYJA_RANGE if the value is longer than `cap`; otherwise as freyja_get.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_get_into(struct freyja_db *db,
                    const void *key,
                    size_t key_len,
                    void *buf,
                    size_t cap,
                    size_t *val_len);

/**
 * Tells whether a key is there. The value is not looked at, unless the key seems to have expired, so damage to it goes
 * unnoticed.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @return FREYJA_OK if it is there, FREYJA_NOT_FOUND if not; otherwise as freyja_get.
 */
FREYJA_API
int freyja_exists(struct freyja_db *db,
                  const void *key,
                  size_t key_len);

/**
 * Counts the keys, among them those that have expired and are still stored.
 *
 * @param[out] out  number of keys.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API int freyja_count(struct freyja_db *db, uint64_t *out);

/**
 * Gets the value of a key where it lies, without a copy. With FREYJA_READ_PREAD it is a copy after all. Its bytes are
 * checked as those of freyja_get.
 *
 * The value stays readable, and as it is, until freyja_unpin, whatever becomes of the key and the store: overwritten, compacted,
 * closed. Until then the memory mapping of its whole segment file stays, and if that file goes, its space on the disk as well.
 * So release pins soon; freyja_stats tells how many there are.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param[out] pin      release it with freyja_unpin.
 * @param[out] val      the value, not aligned; not to be written to. Not NULL, even if it is empty.
 * @param[out] val_len  its length in bytes.
 * @return as freyja_get; FREYJA_MEMORY also if there are a million pins.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_get_pinned(struct freyja_db *db,
                      const void *key,
                      size_t key_len,
                      struct freyja_pin **pin,
                      const void **val,
                      size_t *val_len);

/**
 * Releases a pin; its value must not be read any more. Releasing NULL does nothing.
 *
 * @return FREYJA_OK; FREYJA_CLOSED if it was released before; FREYJA_INVALID, FREYJA_FORKED.
 */
FREYJA_API int freyja_unpin(struct freyja_pin *pin);

/**
 * Gets the values of several keys, faster than one after the other. Keys and values are packed: each begins where
 * the one before ends, the first at 0.
 *
 * Each batch that freyja_write writes meanwhile is seen whole or not at all. One key may be asked for more than
 * once. A value that cannot be read concerns its own key only.
 *
 * @param keys           the keys, back to back.
 * @param key_ends       for each key where it ends, in bytes from `keys`.
 * @param count          number of keys.
 * @param[out] vals      all values that were found, back to back in the order of the keys, aligned to 16 bytes;
 *                       free it with freyja_free_buf. Not NULL, even if there is no value.
 * @param[out] val_ends  for each key where its value ends, in bytes from the beginning of the values; where the
 *                       one before ends if there is none.
 * @param[out] states    for each key FREYJA_OK; FREYJA_NOT_FOUND; FREYJA_CORRUPT; an errno.
 * @return FREYJA_OK if there is a state for every key; FREYJA_INVALID also if a key ends before it begins;
 *         FREYJA_TOO_LARGE, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_FAILED, FREYJA_MEMORY; an errno. Then nothing
 *         was written.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_get_many(struct freyja_db *db,
                    const void *keys,
                    const size_t *key_ends,
                    size_t count,
                    void **vals,
                    size_t *val_ends,
                    int *states);

/**
 * Makes an iterator over all pairs of a store, in no particular order, before the first.
 *
 * Each key that is in the store from the first step to the last comes exactly once, with a value that it had meanwhile. A
 * key that is put or deleted on the way comes once or not at all. The operations of a batch may be seen in part. Writers
 * are not held up, and may be the same thread. The iterator takes about 16 MiB of memory at most, however large the store
 * is. Until it is freed or done, segment files that compaction has removed may keep their space on the disk.
 *
 * @param[out] out  the iterator; free it with freyja_iter_free.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_iter_new(struct freyja_db *db,
                    struct freyja_iter **out);

/**
 * Makes an iterator as freyja_iter_new does, but not over everything, or with another amount of memory.
 *
 * @param prefix, prefix_len  only keys that begin with these bytes, 0 to FREYJA_MAX_KEY_LEN; nothing is read for other
 *                            keys that are in memory.
 * @param flags               0 or FREYJA_ITER_KEYS_ONLY.
 * @param memory              about how many bytes of memory the iterator may take; 0 for 16 MiB. It goes through the
 *                            segment files once for every 16 million keys if they have at most 128 * memory bytes,
 *                            else also once for every memory / 32 keys behind 64 * memory bytes: more is worth while
 *                            where they do not fit into RAM.
 * @param[out] out            the iterator; free it with freyja_iter_free.
 * @return as freyja_iter_new; FREYJA_TOO_LARGE for a prefix that no key can have; FREYJA_INVALID for unknown flags.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_iter_new_ex(struct freyja_db *db,
                       const void *prefix,
                       size_t prefix_len,
                       uint32_t flags,
                       size_t memory,
                       struct freyja_iter **out);

/**
 * Goes on to the next pair. Its bytes are checked. They belong to the iterator, and stay until the next call with it.
 *
 * @param[out] key  the key.
 * @param[out] val  the value; may be NULL if it is not wanted.
 * @return FREYJA_OK; FREYJA_DONE if there is none left; FREYJA_CORRUPT or an errno for a pair that cannot be read, and the
 *         next call goes on behind it; FREYJA_MEMORY, and the next call tries again; FREYJA_INVALID, FREYJA_BUSY,
 *         FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_iter_next(struct freyja_iter *it,
                     struct freyja_slice *key,
                     struct freyja_slice *val);

/**
 * Copies as many of the next pairs as fit into memory of the caller: far faster than one after the other. Each is a
 * freyja_pair, the key, the value; the first begins at `buf`, each next one at the next multiple of 8 bytes from there:
 * ```c
 * for (size_t at = 0; at < used; at += (sizeof pair + pair.key_len + pair.val_len + 7) / 8 * 8) {
 *     memcpy(&pair, buf + at, sizeof pair);
 *     ... key at buf + at + sizeof pair, value behind it
 * }
 * ```
 * @param buf, cap    where the pairs go, and how many bytes fit.
 * @param[out] used   where the last pair ends, in bytes from `buf`; with FREYJA_RANGE how much room the next pair needs.
 * @param[out] count  number of pairs; may be NULL if it is not wanted.
 * @return FREYJA_OK if there is a pair at least; FREYJA_RANGE if the next one does not fit, which is not lost;
 *         otherwise as freyja_iter_next.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_iter_next_batch(struct freyja_iter *it,
                           void *buf,
                           size_t cap,
                           size_t *used,
                           size_t *count);

/**
 * Frees an iterator. Freeing NULL does nothing. A call that another thread is in ends safely.
 *
 * @return FREYJA_OK; FREYJA_CLOSED if it was freed before; FREYJA_INVALID, FREYJA_FORKED.
 */
FREYJA_API int freyja_iter_free(struct freyja_iter *it);

/**
 * Makes a buffer, of the same kind as those of freyja_get. Its content is anything. Fill it and store it with
 * freyja_put_buf, or give it back with freyja_free_buf; or use it for what you like.
 *
 * @param size      bytes, from 0.
 * @param[out] buf  the buffer, aligned to 16 bytes; never NULL.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API FREYJA_MUST_USE int freyja_buf_alloc(size_t size, void **buf);

/**
 * Makes a buffer as freyja_buf_alloc does, with `size` bytes that are 0.
 *
 * @param size      bytes, from 0.
 * @param[out] buf  the buffer, aligned to 16 bytes; never NULL.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API FREYJA_MUST_USE int freyja_buf_alloc_zeroed(size_t size, void **buf);

/**
 * Gives a buffer back, once; any thread may do that, also after the store was closed. NULL does nothing. Any other
 * pointer that is not that of a buffer in use is refused: nothing happens but that freyja_stats counts it. A
 * buffer that a parent process got is not freed in the child.
 */
FREYJA_API
void freyja_free_buf(void *buf);

/**
 * Tells what went through the buffer pool of the process. Takes some microseconds.
 *
 * @param[out] out     the counts.
 * @param struct_size  sizeof(freyja_pool_stats_t).
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API int freyja_pool_stats(struct freyja_pool_stats_t *out, size_t struct_size);

/**
 * Tells what went through one size class of the buffer pool.
 *
 * @param number       0 for the smallest class, and so on.
 * @param[out] out     the counts.
 * @param struct_size  sizeof(freyja_pool_class_t).
 * @return FREYJA_OK; FREYJA_DONE if there are not so many classes; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API int freyja_pool_class_stats(size_t number, struct freyja_pool_class_t *out, size_t struct_size);

/**
 * Gives the memory that waits in the buffer pool for its next use back to the system, also what other threads keep
 * for themselves. Buffers in use stay as they are.
 *
 * @return FREYJA_OK; FREYJA_MEMORY.
 */
FREYJA_API
int freyja_pool_trim(void);

/**
 * Bounds the memory that waits in the buffer pool for its next use; at first 16 MiB. What waits above the bound is given
 * back now. With 0 every buffer costs a lock, and a large one a system call.
 *
 * @return FREYJA_OK; FREYJA_MEMORY.
 */
FREYJA_API
int freyja_pool_set_idle_limit(size_t bytes);

/**
 * Replaces the size classes of the buffer pool, before the process has its first buffer. A request is served by the
 * smallest class that holds it. By default there are 57: 64 bytes, and four for each doubling up to 1 MiB.
 *
 * @param sizes  their sizes in bytes, each larger than the one before: multiples of 16 from 64 to 1048576.
 * @param count  1 to 64.
 * @return FREYJA_OK; FREYJA_BUSY if the pool has been used; FREYJA_INVALID, FREYJA_MEMORY.
 */
FREYJA_API
int freyja_pool_set_classes(const size_t *sizes,
                            size_t count);

/**
 * Chooses where in its regions the buffer pool puts buffers above its largest class, and blocks of batches above 32 KiB.
 *
 * @param fit  a value of freyja_fit.
 * @return FREYJA_OK; FREYJA_INVALID if it is none; FREYJA_MEMORY.
 */
FREYJA_API
int freyja_pool_set_fit(uint32_t fit);

/**
 * Tells where the newest record of a key lies.
 *
 * @param key, key_len  0 to FREYJA_MAX_KEY_LEN bytes.
 * @param[out] out      the location.
 * @param struct_size   sizeof(freyja_location).
 * @return FREYJA_OK; FREYJA_NOT_FOUND; otherwise as freyja_get.
 */
FREYJA_API
int freyja_locate(struct freyja_db *db,
                  const void *key,
                  size_t key_len,
                  struct freyja_location *out,
                  size_t struct_size);

/**
 * Lets a store that was opened with FREYJA_READ_ONLY_STORE see what another process has written since it was opened or last refreshed:
 * everything up to some write, every batch whole or not at all. The writes may not be durable yet. While this runs, other
 * threads may see some of the writes before the others. With a store that is open for writing it does nothing.
 *
 * Where compaction by the writer has taken away what this handle had not read yet, or what it keeps on the disk has become more than
 * the store, the store is read anew under the same handle: that takes as long as freyja_open, and until it is done as much memory again.
 * Iterators that had begun go on with what they had, and keep that in memory.
 *
 * @return FREYJA_OK; FREYJA_FAILED if this handle cannot go on from where it is, so that the store is to be closed and opened
 *         again: the store has lost, by a failure of its disk, what this handle saw; FREYJA_CORRUPT if records that were durable
 *         are missing; FREYJA_INVALID,
 *         FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY; an errno. What was seen before stays. freyja_failure tells more.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_refresh(struct freyja_db *db);

/**
 * Gives back the space of deleted, superseded and expired pairs: merges all segment files for which that pays, beside reads and
 * writes. By default the store does as much as is needed in the background; this does all at once. What it has done stays
 * done, whatever ends it.
 *
 * @param db        the store.
 * @param progress  told after every merge how many of the bytes that are worth merging it has come past, may cancel; may be
 *                  NULL.
 * @param user      passed to `progress`.
 * @param[out] err  details of a failure, written only then; may be NULL.
 * @return FREYJA_OK; FREYJA_CORRUPT if a segment file is damaged, which is left as it is, after all others were dealt with;
 *         ENOSPC if there is no room for a merge, which changes nothing; ECANCELED if `progress` cancelled;
 *         FREYJA_CLOSED, FREYJA_READ_ONLY, FREYJA_FAILED, FREYJA_MEMORY; another errno.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_compact(struct freyja_db *db,
                   freyja_progress progress,
                   void *user,
                   struct freyja_error *err);

/**
 * Does a bounded part of the work that is otherwise done in the background: for programs that set background_threads to 0.
 * Syncs when the interval has passed, makes the next segment file when an eighth of the present one is used, merges segment files
 * once if there is too much garbage, brings the image of the index up to date. It takes as long as reading and writing one segment file.
 *
 * @return FREYJA_OK if more is to be done at once; FREYJA_DONE if not; FREYJA_CLOSED, FREYJA_READ_ONLY, FREYJA_FAILED,
 *         FREYJA_MEMORY; an errno.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_maintain(struct freyja_db *db);

/**
 * Makes the directory `dest` a copy of the store as it was at one moment during the call; reads and writes go on meanwhile.
 * The copy is durable when this returns. It is restored by opening it, or by opening a copy of it.
 *
 * Files are linked where the file system allows that, which takes neither time nor space and protects from deletion and
 * mistakes, but not from a failing disk; to another file system they are copied. To where a backup of this store already
 * is, only what is new is brought, and what the store no longer has is removed. A call that fails leaves the older
 * backup as it was, or a directory that freyja_open refuses until a backup to it has been finished.
 *
 * @param db        the store.
 * @param dest      path of the directory, ended by NUL: one that does not exist, though its parent does, or is empty, or
 *                  holds a backup of this store.
 * @param progress  told how many bytes have been brought, may cancel; may be NULL.
 * @param user      passed to `progress`.
 * @param[out] err  details of a failure, written only then; may be NULL.
 * @return FREYJA_OK; FREYJA_EXISTS if `dest` holds anything but a backup of this store; FREYJA_BUSY if `dest` is open as a
 *         store or another backup is writing to it; FREYJA_READ_ONLY, FREYJA_FAILED, FREYJA_CORRUPT, FREYJA_MEMORY; ECANCELED
 *         if `progress` cancelled; another errno.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_backup(struct freyja_db *db,
                  const char *dest,
                  freyja_progress progress,
                  void *user,
                  struct freyja_error *err);

/**
 * Tells what a store holds and what it has done.
 *
 * @param[out] out     the statistics.
 * @param struct_size  sizeof(freyja_stats_t).
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API int freyja_stats(struct freyja_db *db, struct freyja_stats_t *out, size_t struct_size);

/**
 * Tells how full the memory budget of a store is, and when it will be full. Takes some microseconds.
 *
 * @param[out] out     the answer.
 * @param struct_size  sizeof(freyja_memory_pressure_t).
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
int freyja_memory_pressure(struct freyja_db *db,
                           struct freyja_memory_pressure_t *out,
                           size_t struct_size);

/**
 * Changes the memory budget of a store, which freyja_options.memory_budget set at first. If the store has more than that
 * already, what would take more is refused until enough has been deleted.
 *
 * @param bytes  the budget; 0 for no limit, or FREYJA_BUDGET_AUTO.
 * @return FREYJA_OK; FREYJA_INVALID if not even an empty store works with as little; FREYJA_UNSUPPORTED if FREYJA_BUDGET_AUTO
 *         cannot find out how much there is; FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_memory_set_budget(struct freyja_db *db,
                             uint64_t bytes);

/**
 * Changes from where on a store acts on memory pressure, in thousandths of its budget; at first 700, 800, 900 and 950. Growth is
 * refused from the last one on, and in any case where less than 512 KiB would be left.
 *
 * @param monitor     where FREYJA_MEMORY_MONITOR begins.
 * @param gentle      where FREYJA_MEMORY_GENTLE begins.
 * @param aggressive  where FREYJA_MEMORY_AGGRESSIVE begins.
 * @param emergency   where FREYJA_MEMORY_EMERGENCY begins.
 * @return FREYJA_OK; FREYJA_INVALID unless they rise, from 1 to 1000 at most; FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_memory_set_thresholds(struct freyja_db *db,
                                 uint32_t monitor,
                                 uint32_t gentle,
                                 uint32_t aggressive,
                                 uint32_t emergency);

/**
 * Sets who is told of memory pressure on a store, in the place of who was before. When this returns, the callback before is not
 * running any more; after freyja_close none is.
 *
 * @param callback  told from now on; NULL for none.
 * @param user      passed to it.
 * @return FREYJA_OK; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
int freyja_memory_set_callback(struct freyja_db *db,
                               freyja_memory_callback callback,
                               void *user);

/**
 * Writes all that freyja_stats, freyja_pool_stats, freyja_pool_class_stats and freyja_memory_pressure tell as text for Prometheus, in
 * its format 0.0.4; docs/monitoring.md tells more. Metrics of the store are labelled with its directory; those of the buffer
 * pool and of pins are of the whole process. Some 15,000 bytes of UTF-8, not ended by NUL.
 *
 * @param[out] buf  gets the text if it fits; may be NULL if cap is 0.
 * @param cap       bytes that fit there.
 * @param[out] len  length of the text; stored with FREYJA_RANGE as well. The next text may be longer.
 * @return FREYJA_OK; FREYJA_RANGE if cap is too small; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED, FREYJA_MEMORY.
 */
FREYJA_API
int freyja_metrics(struct freyja_db *db,
                   char *buf,
                   size_t cap,
                   size_t *len);

/**
 * Tells the first failure of a handle: a failed write or sync, damage that opening or reading met with, or a
 * caught defect. After a failed write or sync, writing calls answer FREYJA_FAILED and reads go on; damage costs only
 * the keys concerned. Mistakes of the caller and a full disk are no failures of the handle.
 *
 * @param[out] out  the failure, written only if there was one.
 * @return FREYJA_OK if there was one, FREYJA_NOT_FOUND if not; FREYJA_INVALID, FREYJA_CLOSED, FREYJA_FORKED.
 */
FREYJA_API
int freyja_failure(struct freyja_db *db,
                   struct freyja_error *out);

/**
 * Reads every byte of the store in the directory `path` and tells everything that is not as it was written, and
 * what a crash left. Changes nothing. The store must not be open for writing, here or elsewhere. Takes memory for all keys
 * with some 20 bytes each, twice if there is an image of the index.
 *
 * @param path         path of the directory, ended by NUL.
 * @param each         called with each finding; may be NULL.
 * @param user         passed to `each`.
 * @param[out] out     what it amounts to, written with FREYJA_OK and with FREYJA_CORRUPT; may be NULL.
 * @param struct_size  sizeof(freyja_verify_report).
 * @param[out] err     details of a failure, or of the first damage; may be NULL.
 * @return FREYJA_OK if nothing is damaged; FREYJA_CORRUPT if something is; FREYJA_NOT_FOUND if there is no store; FREYJA_BUSY
 *         if it is open for writing; FREYJA_VERSION, FREYJA_INVALID, FREYJA_MEMORY; an errno, if the disk fails to
 *         read: copy the files as far as they can be read, and verify the copy.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_verify(const char *path,
                  freyja_finding_fn each,
                  void *user,
                  struct freyja_verify_report *out,
                  size_t struct_size,
                  struct freyja_error *err);

/**
 * Saves what can be saved of the store in the directory `path` in a new store in `destination`. The original is read
 * as by freyja_verify, and not changed.
 *
 * Of each key the newest value is saved, if it is intact. Keys of which it is known to be damaged are left out; each is
 * named by a finding. Deleted keys stay deleted. The new store can be opened when this has returned FREYJA_OK; what an
 * interrupted repair leaves is refused by freyja_open, and is to be removed.
 *
 * @param path         path of the directory, ended by NUL.
 * @param destination  path of a directory that does not exist or is empty, ended by NUL.
 * @param flags        FREYJA_REPAIR_OLDER_VERSIONS or 0.
 * @param each         called with each finding; may be NULL.
 * @param user         passed to `each`.
 * @param[out] out     what it amounts to; may be NULL.
 * @param struct_size  sizeof(freyja_repair_report).
 * @param[out] err     details of a failure, written only then; may be NULL.
 * @return FREYJA_OK if the new store is complete: look into `out` for what is lost; FREYJA_EXISTS if there is something in
 *         `destination`; otherwise as freyja_verify, and what writing can answer.
 */
FREYJA_API
FREYJA_MUST_USE
int freyja_repair(const char *path,
                  const char *destination,
                  uint32_t flags,
                  freyja_finding_fn each,
                  void *user,
                  struct freyja_repair_report *out,
                  size_t struct_size,
                  struct freyja_error *err);

#ifdef __cplusplus
}  // extern "C"
#endif  // __cplusplus

#endif  /* FREYJA_H */
