/*
 * owner: which package owns this file?
 *
 * Loads every path that dpkg installed into a Freyja store (key: the path, value: the packages that own it), answers
 * the paths given, checks every answer that the store can give, and prints what it cost in time, memory and disk.
 * Where there is no dpkg it walks /usr and stores each file's size and time of change instead.
 *
 * Build and run from the top of the source tree: make demo
 * or:   make demo DEMO_ARGUMENTS="--store /tmp/owner.store /usr/bin/env"
 */
#define _XOPEN_SOURCE 700

#include <freyja.h>

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { EXIT_UNKNOWN_PATH = 1, EXIT_USAGE = 2, EXIT_FAILED = 3 };

static const char usage[] =
    "usage: owner [--store DIR] [PATH...]\n"
    "\n"
    "Says which package owns each PATH (absolute), from a Freyja store of every path that dpkg installed.\n"
    "Without dpkg the store holds the size and time of change of everything below /usr.\n"
    "\n"
    "  --store DIR   keep the store in DIR; if DIR holds one already, answer from it without loading\n"
    "                (default: a temporary store, removed at the end)\n"
    "  PATH...       what to look up (default: a few well-known paths, one of which does not exist)\n"
    "  --help        print this\n"
    "\n"
    "exit status: 0 everything answered, 1 a PATH that you gave is unknown, 2 wrong usage, 3 failure\n";

static const char package_lists[] = "/var/lib/dpkg/info";

/* Put after everything else, so that a load that was interrupted is told from a whole one. No path starts like it. */
static const char load_mark[] = "loaded from";

/* ---- Failing ---------------------------------------------------------------------------------------------------- */

static char temporary_store[4096]; /* empty: none to remove */

static int remove_entry(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)status, (void)kind, (void)where;
    return remove(path);
}

static void remove_temporary_store(void)
{
    if (temporary_store[0] != '\0' && nftw(temporary_store, remove_entry, 16, FTW_DEPTH | FTW_PHYS) != 0)
        fprintf(stderr, "owner: could not remove %s: %s\n", temporary_store, strerror(errno));
}

static void fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("owner: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(EXIT_FAILED);
}

/* A hot call answers with a status only; if it was a failure that stopped the store, the store kept the sentence. */
static void fail_store(freyja_db *db, const char *doing, const char *path, int status)
{
    freyja_error error;
    if (freyja_failure(db, &error) == FREYJA_OK)
        fail("%s %s: %s: %s", doing, path, freyja_strerror(status), error.message);
    fail("%s %s: %s", doing, path, freyja_strerror(status));
}

static void *allocate(void *old, size_t size)
{
    void *memory = realloc(old, size);
    if (memory == NULL)
        fail("out of memory for %zu bytes", size);
    return memory;
}

/* ---- What is loaded: a table of paths and their values ----------------------------------------------------------- */

struct entry {
    const char *path;
    const char *value;
    size_t path_length;
    size_t value_length;
};

/* Text that lives as long as the table, in blocks: no allocation per path blurs the store's memory figure. */
struct block {
    struct block *next;
    size_t used;
    size_t size;
    char text[];
};

struct table {
    struct entry *entries;
    size_t count;
    size_t capacity;
    struct block *blocks;
    const char *source;
};

static char *take_text(struct table *table, size_t size)
{
    struct block *block = table->blocks;
    if (block == NULL || block->size - block->used < size) {
        size_t block_size = size > 1 << 20 ? size : 1 << 20;
        block = allocate(NULL, sizeof *block + block_size);
        *block = (struct block){table->blocks, 0, block_size};
        table->blocks = block;
    }
    block->used += size;
    return block->text + block->used - size;
}

static const char *keep_text(struct table *table, const char *text, size_t length)
{
    char *copy = take_text(table, length + 1);
    memcpy(copy, text, length);
    copy[length] = '\0';
    return copy;
}

static void add_entry(struct table *table, const char *path, const char *value)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity == 0 ? 4096 : table->capacity * 2;
        table->entries = allocate(table->entries, table->capacity * sizeof *table->entries);
    }
    table->entries[table->count++] = (struct entry){path, value, strlen(path), strlen(value)};
}

static void free_table(struct table *table)
{
    while (table->blocks != NULL) {
        struct block *next = table->blocks->next;
        free(table->blocks);
        table->blocks = next;
    }
    free(table->entries);
}

static int compare_entries(const void *left, const void *right)
{
    const struct entry *a = left, *b = right;
    int order = strcmp(a->path, b->path);
    return order != 0 ? order : strcmp(a->value, b->value);
}

/* A path that several packages own, as most directories are, keeps them all: "base-files, dpkg, libc6:amd64". */
static void merge_owners(struct table *table)
{
    size_t kept = 0;
    qsort(table->entries, table->count, sizeof *table->entries, compare_entries);
    for (size_t first = 0, end; first < table->count; first = end) {
        struct entry merged = table->entries[first];
        size_t length = merged.value_length;
        for (end = first + 1; end < table->count && strcmp(table->entries[end].path, merged.path) == 0; end++)
            length += 2 + table->entries[end].value_length;
        if (end > first + 1) {
            char *joined = take_text(table, length + 1), *at = joined;
            for (size_t i = first; i < end; i++)
                at += sprintf(at, "%s%s", i == first ? "" : ", ", table->entries[i].value);
            merged.value = joined;
            merged.value_length = length;
        }
        table->entries[kept++] = merged;
    }
    table->count = kept;
}

static void gather_list(struct table *table, const char *file_name, size_t package_length)
{
    char *line = NULL, list_path[4096];
    size_t capacity = 0;
    const char *package = keep_text(table, file_name, package_length);
    snprintf(list_path, sizeof list_path, "%s/%s", package_lists, file_name);
    FILE *list = fopen(list_path, "r");
    if (list == NULL)
        fail("%s: %s", list_path, strerror(errno));
    for (ssize_t length; (length = getline(&line, &capacity, list)) > 0;) {
        if (line[length - 1] == '\n')
            line[--length] = '\0';
        if (strcmp(line, "/.") == 0)
            add_entry(table, "/", package);
        else if (length > 0)
            add_entry(table, keep_text(table, line, (size_t)length), package);
    }
    if (ferror(list))
        fail("%s: %s", list_path, strerror(errno));
    free(line);
    fclose(list);
}

static bool gather_packages(struct table *table)
{
    DIR *directory = opendir(package_lists);
    if (directory == NULL)
        return false;
    for (struct dirent *found; (found = readdir(directory)) != NULL;) {
        size_t length = strlen(found->d_name);
        if (length > 5 && strcmp(found->d_name + length - 5, ".list") == 0)
            gather_list(table, found->d_name, length - 5);
    }
    closedir(directory);
    merge_owners(table);
    table->source = "dpkg";
    return table->count > 0;
}

static struct table *walked_into; /* nftw hands nothing through to its callback */

static int gather_file(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    char value[96], changed[32];
    struct tm utc;
    (void)where;
    if (kind == FTW_NS || gmtime_r(&status->st_mtime, &utc) == NULL)
        return 0; /* unreadable: nothing to say about it */
    strftime(changed, sizeof changed, "%Y-%m-%d %H:%M:%S", &utc);
    int length = snprintf(value, sizeof value, "%lld bytes, changed %s UTC", (long long)status->st_size, changed);
    add_entry(walked_into, keep_text(walked_into, path, strlen(path)), keep_text(walked_into, value, (size_t)length));
    return 0;
}

static void gather_files(struct table *table)
{
    walked_into = table;
    if (nftw("/usr", gather_file, 64, FTW_PHYS) != 0)
        fail("/usr: %s", strerror(errno));
    table->source = "/usr";
}

/* ---- Measuring --------------------------------------------------------------------------------------------------- */

static double seconds_now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec + (double)time.tv_nsec * 1e-9;
}

/* The process's anonymous memory in bytes as the system sees it, without any file's pages; -1 where it does not say. */
static double anonymous_memory(void)
{
    char line[256];
    double kibibytes = -1.0 / 1024;
    FILE *status = fopen("/proc/self/status", "r");
    if (status == NULL)
        return -1;
    while (fgets(line, sizeof line, status) != NULL)
        if (sscanf(line, "RssAnon: %lf kB", &kibibytes) == 1)
            break;
    fclose(status);
    return kibibytes * 1024;
}

static double disk_total;

static int add_disk_size(const char *path, const struct stat *status, int kind, struct FTW *where)
{
    (void)path, (void)where;
    if (kind == FTW_F)
        disk_total += (double)status->st_blocks * 512;
    return 0;
}

static double disk_bytes(const char *directory)
{
    disk_total = 0;
    if (nftw(directory, add_disk_size, 16, FTW_PHYS) != 0)
        fail("%s: %s", directory, strerror(errno));
    return disk_total;
}

/* In place on a terminal, a line per 10 % elsewhere; on stderr, so that the answers can be piped. */
static void show_progress(const char *doing, size_t done, size_t total)
{
    size_t percent = done * 100 / total, before = (done - 1) * 100 / total;
    if (percent == before)
        return;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r%s %3zu %%%s", doing, percent, percent == 100 ? "\n" : "");
    else if (percent / 10 != before / 10)
        fprintf(stderr, "%s %3zu %%\n", doing, percent);
}

/* ---- The store --------------------------------------------------------------------------------------------------- */

/*
 * FREYJA_SYNC_NONE: what is loaded can be loaded again, so no path needs to be durable before the next one is put. One
 * freyja_sync at the end makes all of them durable at once; a killed process would lose nothing even without it.
 */
static freyja_db *open_store(const char *directory)
{
    freyja_options options;
    freyja_error error;
    freyja_db *db;
    freyja_options_init(&options, sizeof options);
    options.sync_mode = FREYJA_SYNC_NONE;
    int status = freyja_open(directory, &options, &db, &error);
    if (status != FREYJA_OK)
        fail("open: %s: %s", freyja_strerror(status), error.message);
    return db;
}

static void close_store(freyja_db *db, const char *directory)
{
    int status = freyja_close(db);
    if (status != FREYJA_OK)
        fail("close %s: %s", directory, freyja_strerror(status));
}

static freyja_stats_t read_statistics(freyja_db *db)
{
    freyja_stats_t statistics;
    int status = freyja_stats(db, &statistics, sizeof statistics);
    if (status != FREYJA_OK)
        fail("statistics: %s", freyja_strerror(status));
    return statistics;
}

static void put(freyja_db *db, const char *key, size_t key_length, const char *value, size_t value_length)
{
    int status = freyja_put(db, key, key_length, value, value_length);
    if (status != FREYJA_OK)
        fail_store(db, "put", key, status);
}

static void load(freyja_db *db, const struct table *table)
{
    double began = seconds_now();
    for (size_t i = 0; i < table->count; i++) {
        const struct entry *entry = &table->entries[i];
        put(db, entry->path, entry->path_length, entry->value, entry->value_length);
        show_progress("loading", i + 1, table->count);
    }
    double loaded = seconds_now();
    int status = freyja_sync(db);
    if (status != FREYJA_OK)
        fail_store(db, "sync after", "loading", status);
    double synced = seconds_now();
    put(db, load_mark, strlen(load_mark), table->source, strlen(table->source));
    printf("load    %zu paths in %.3f s: %.2f million a second (no sync per put), then %.1f ms to sync them all\n",
           table->count, loaded - began, (double)table->count / (loaded - began) * 1e-6, (synced - loaded) * 1e3);
}

/* An answer's bytes, in memory that grows with the largest value seen. */
struct answer {
    char *bytes;
    size_t length;
    size_t capacity;
};

static bool look_up(freyja_db *db, const char *path, size_t path_length, struct answer *answer)
{
    int status = freyja_get_into(db, path, path_length, answer->bytes, answer->capacity, &answer->length);
    while (status == FREYJA_RANGE) { /* too small, and the length tells how much is needed */
        answer->bytes = allocate(answer->bytes, answer->length);
        answer->capacity = answer->length;
        status = freyja_get_into(db, path, path_length, answer->bytes, answer->capacity, &answer->length);
    }
    if (status != FREYJA_OK && status != FREYJA_NOT_FOUND)
        fail_store(db, "get", path, status);
    return status == FREYJA_OK;
}

static void check_all(freyja_db *db, struct table *table)
{
    struct answer answer = {0};
    uint64_t random = 0x9e3779b97f4a7c15;
    for (size_t i = table->count; i > 1; i--) {
        random ^= random << 13, random ^= random >> 7, random ^= random << 17;
        struct entry *other = &table->entries[random % i], swapped = *other;
        *other = table->entries[i - 1];
        table->entries[i - 1] = swapped;
    }
    double began = seconds_now();
    for (size_t i = 0; i < table->count; i++) {
        const struct entry *entry = &table->entries[i];
        if (!look_up(db, entry->path, entry->path_length, &answer))
            fail("%s was loaded and is not found", entry->path);
        if (answer.length != entry->value_length || memcmp(answer.bytes, entry->value, answer.length) != 0)
            fail("%s has another value than was loaded", entry->path);
    }
    double seconds = seconds_now() - began;
    printf("look up %zu paths in shuffled order in %.3f s: %.2f million a second, every answer right\n",
           table->count, seconds, (double)table->count / seconds * 1e-6);
    free(answer.bytes);
}

/* ---- Answering --------------------------------------------------------------------------------------------------- */

/* Where /bin is a link to /usr/bin, packages list their files under either name. */
static bool look_up_either_name(freyja_db *db, const char *path, char other[4096], struct answer *answer)
{
    size_t length = strlen(path);
    while (length > 1 && path[length - 1] == '/')
        length--;
    other[0] = '\0';
    if (look_up(db, path, length, answer))
        return true;
    if (strncmp(path, "/usr/", 5) == 0)
        snprintf(other, 4096, "%.*s", (int)(length - 4), path + 4);
    else
        snprintf(other, 4096, "/usr%.*s", (int)length, path);
    return look_up(db, other, strlen(other), answer);
}

/* Prints at most `limit` of the comma-separated values, then how many there are besides. */
static void print_values(const struct answer *answer, size_t limit)
{
    size_t shown = 0, length = answer->length, hidden = 0;
    for (size_t i = 0; i < answer->length; i++)
        if (answer->bytes[i] == ',' && ++shown >= limit) {
            length = shown == limit ? i : length;
            hidden++;
        }
    printf("%.*s", (int)length, answer->bytes);
    if (hidden > 0)
        printf(", and %zu more", hidden);
}

static size_t answer_paths(freyja_db *db, char *const *paths, size_t count, size_t limit)
{
    struct answer answer = {0};
    size_t unknown = 0;
    for (size_t i = 0; i < count; i++) {
        char other[4096];
        printf("  %s: ", paths[i]);
        if (look_up_either_name(db, paths[i], other, &answer)) {
            print_values(&answer, limit);
            printf(other[0] == '\0' ? "\n" : " (as %s)\n", other);
        } else {
            printf("not known\n");
            unknown++;
        }
    }
    free(answer.bytes);
    return unknown;
}

static void print_memory(const freyja_stats_t *statistics, double grown)
{
    double keys = (double)statistics->keys;
    double key_bytes = (double)statistics->key_bytes / keys;
    double held = (double)(statistics->index_bytes + statistics->slab_allocated_bytes) / keys;
    printf("memory  %.1f bytes a key by the library's statistics: %.1f of the key itself and %.1f besides\n", held,
           key_bytes, held - key_bytes);
    if (grown >= 0)
        printf("        %.1f bytes a key as the system sees it (growth of RssAnon while loading)\n", grown / keys);
}

/* ---- The whole --------------------------------------------------------------------------------------------------- */

static void load_and_check(freyja_db *db, struct table *table, double memory_before)
{
    load(db, table);
    double memory_after = anonymous_memory();
    freyja_stats_t statistics = read_statistics(db);
    check_all(db, table);
    print_memory(&statistics, memory_before < 0 || memory_after < 0 ? -1 : memory_after - memory_before);
}

static void print_disk(const struct table *table, const char *directory)
{
    double raw = 0, disk = disk_bytes(directory);
    for (size_t i = 0; i < table->count; i++)
        raw += (double)(table->entries[i].path_length + table->entries[i].value_length);
    printf("disk    %.2f MB closed (blocks of all its files), %.2f times the %.2f MB of paths and values\n", disk * 1e-6,
           disk / raw, raw * 1e-6);
}

static bool is_loaded(freyja_db *db)
{
    struct answer source = {0};
    bool loaded = look_up(db, load_mark, strlen(load_mark), &source);
    free(source.bytes);
    return loaded;
}

static size_t run(const char *directory, char *const *paths, size_t count, size_t limit)
{
    double began = seconds_now();
    freyja_db *db = open_store(directory);
    if (is_loaded(db)) {
        double opened = seconds_now();
        printf("store   %s holds %llu paths, opened in %.1f ms\n", directory,
               (unsigned long long)read_statistics(db).keys - 1, (opened - began) * 1e3);
        size_t unknown = answer_paths(db, paths, count, limit);
        close_store(db, directory);
        return unknown;
    }
    if (read_statistics(db).keys > 0) /* an interrupted load, or somebody else's store: nothing of ours to add to */
        fail("%s is a store that was not completely loaded by owner: remove it or name another directory", directory);
    struct table table = {0};
    if (!gather_packages(&table))
        gather_files(&table);
    printf("source  %s, into the store %s (Freyja %s)\n", table.source, directory, freyja_version());
    load_and_check(db, &table, anonymous_memory());
    size_t unknown = answer_paths(db, paths, count, limit);
    close_store(db, directory);
    print_disk(&table, directory);

    began = seconds_now();
    db = open_store(directory);
    double opened = seconds_now();
    uint64_t keys = read_statistics(db).keys;
    printf("reopen  %.1f ms for %llu paths; the same questions again:\n", (opened - began) * 1e3,
           (unsigned long long)keys - 1);
    if (keys != table.count + 1 || answer_paths(db, paths, count, limit) != unknown)
        fail("the reopened store has %llu keys and should have %zu", (unsigned long long)keys, table.count + 1);
    close_store(db, directory);
    free_table(&table);
    return unknown;
}

static void use_temporary_store(void)
{
    const char *parent = getenv("TMPDIR");
    snprintf(temporary_store, sizeof temporary_store, "%s/owner.XXXXXX", parent != NULL ? parent : "/tmp");
    if (mkdtemp(temporary_store) == NULL) {
        char failed[sizeof temporary_store];
        strcpy(failed, temporary_store);
        temporary_store[0] = '\0';
        fail("could not create the temporary directory %s: %s", failed, strerror(errno));
    }
    atexit(remove_temporary_store);
}

static int refuse(const char *message, const char *argument)
{
    fprintf(stderr, "owner: %s%s\n\n%s", message, argument, usage);
    return EXIT_USAGE;
}

int main(int argument_count, char **arguments)
{
    static char *const well_known[] = {"/usr/bin/env", "/bin/sh", "/usr/share/doc", "/", "/no/such/file"};
    const char *directory = NULL;
    char **paths = arguments + 1, **end = arguments + argument_count;

    if (paths < end && strcmp(*paths, "--help") == 0)
        return fputs(usage, stdout), EXIT_SUCCESS;
    if (paths < end && strcmp(*paths, "--store") == 0) {
        if (end - paths < 2 || paths[1][0] == '\0')
            return refuse("--store needs a directory", "");
        directory = paths[1];
        paths += 2;
    }
    for (char **path = paths; path < end; path++)
        if ((*path)[0] != '/')
            return refuse((*path)[0] == '-' ? "unknown option " : "not an absolute path: ", *path);

    if (directory == NULL) {
        use_temporary_store();
        directory = temporary_store;
    }
    if (paths == end) {
        run(directory, well_known, sizeof well_known / sizeof *well_known, 3);
        return EXIT_SUCCESS;
    }
    return run(directory, paths, (size_t)(end - paths), SIZE_MAX) > 0 ? EXIT_UNKNOWN_PATH : EXIT_SUCCESS;
}
