# Everything a person runs on this tree. `make` alone says what there is.

CARGO ?= cargo
CC ?= cc
CFLAGS ?= -O2 -g
C_WARNINGS := -std=c11 -Wall -Wextra -Wpedantic -Werror

target := $(abspath $(or $(CARGO_TARGET_DIR),target))
library := $(target)/library/release/libfreyja.a
shared := $(target)/shared/release/libfreyja.so
# With what the Rust standard library in it needs from the system; a test keeps that list true.
link := $(library) $(shell cat c_tests/native_libraries.txt)

# What this machine is called where a target has to be named.
host := $(shell rustc -vV | sed -n 's/host: //p')

.PHONY: help library shared release tool demo test crash-test reader-test fault-test damage-test concurrency-test fuzz fuzz-keep model miri tsan lint clean power-test
.PHONY: instructions instruction-parts bench bench-index bench-memory bench-budget bench-reopen bench-durable bench-peers bench-scale bench-limits bench-threads bench-compaction bench-pool

help: ## say what there is (the default)
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# One crate type alone: built together with the others, link-time optimisation does not reach it. In a directory of its own,
# so that it and what cargo build makes do not replace each other.
library: ## build the static library, optimised
	$(CARGO) rustc --release --lib --crate-type staticlib --target-dir $(target)/library

shared: ## build the shared library, optimised
	$(CARGO) rustc --release --lib --crate-type cdylib --target-dir $(target)/shared

release: library shared ## build both as they are shipped, without what only debuggers need, and tell their sizes
	@mkdir -p $(target)/stripped
	strip --strip-unneeded -o $(target)/stripped/libfreyja.a $(library)
	strip --strip-unneeded -o $(target)/stripped/libfreyja.so $(shared)
	@wc -c $(library) $(target)/stripped/libfreyja.a $(shared) $(target)/stripped/libfreyja.so

tool: ## build the command line program, optimised: docs/tool.md
	$(CARGO) build --release --features tool --bin freyja
	@echo $(target)/release/freyja

demo: library ## build the library and examples/owner.c, and run it; DEMO_ARGUMENTS="--help" tells more
	@mkdir -p $(target)/examples
	$(CC) $(C_WARNINGS) $(CFLAGS) -Iinclude examples/owner.c $(link) -o $(target)/examples/owner
	$(target)/examples/owner $(DEMO_ARGUMENTS)

# The suites that sabotage turns against itself have been run before it.
test: ## run every test: Rust, and C against the shared and the static library
	$(CARGO) test --no-fail-fast --features tool
	$(CARGO) test --features sabotage --test sabotage -- $(foreach suite,backup expiry follow,--skip $(suite)::)

# What follows is part of make test; here it runs longer, with other seeds.
MINUTES ?= 10
SEED ?= 1000

# Two processes, as what the threads of one wait for is each other: they map and unmap memory all the time.
crash-test: ## crash a simulated disk at every call of endless workloads; MINUTES=10 SEED=1000
	$(CARGO) test --profile campaign --test crash --no-run
	printf '%s\n' campaign_of_random_workloads campaign_of_sequences_of_four | FREYJA_MINUTES=$(MINUTES) FREYJA_SEED=$(SEED) \
		xargs -P 2 -I '{}' $(CARGO) test -q --profile campaign --test crash -- --ignored --nocapture '{}'
	FREYJA_SEED=$(SEED) $(CARGO) test --test kills -- --ignored --nocapture
	$(CARGO) test --test calls -- --ignored --nocapture

reader-test: ## let the independent reader read every crashed store of every short sequence; a quarter of an hour
	$(CARGO) test --profile campaign --test crash --no-run
	printf '%s\n' readers_agree_on_new_stores readers_agree_on_used_stores | \
		xargs -P 2 -I '{}' $(CARGO) test -q --profile campaign --test crash -- --ignored --nocapture '{}'

fault-test: ## let every call of the disk fail in every way; an hour
	$(CARGO) test --test fault_sweep --test failing_system -- --include-ignored --nocapture

CUTS ?= 120

power-test: ## cut the power of mounted file systems under writers, as root; CUTS=120 SEED=1000
	FREYJA_CUTS=$(CUTS) FREYJA_SEED=$(SEED) $(CARGO) test --test power -- --ignored --nocapture

damage-test: ## flip every bit of a store, cut every file to every length, damage every block; a few minutes
	$(CARGO) test --test damage -- --ignored --nocapture

concurrency-test: ## check that what threads see at the same time has an order; MINUTES=10 SEED=1000
	FREYJA_MINUTES=$(MINUTES) FREYJA_SEED=$(SEED) $(CARGO) test --test linearizable -- --ignored --nocapture

# libFuzzer on the stable compiler: coverage comes from LLVM's pass, the loop from the crate libfuzzer-sys, which takes a C++
# compiler to build. Each target first replays the inputs it has kept, those that failed before among them; what fails lies in
# the folder that is named then, and is replayed alone by the target's program with its path.
TARGET ?= calls record segment hints image moves options
# How many targets run at the same time.
SIDE_BY_SIDE ?= 2
fuzz_programs = $(target)/fuzz/programs
fuzz_flags = -Cpasses=sancov-module -Ccodegen-units=1 --cfg fuzzing $(addprefix -Cllvm-args=-sanitizer-coverage-,\
	inline-8bit-counters pc-table $(1))
fuzz_build = RUSTFLAGS="$(call fuzz_flags,$(1))" $(CARGO) build --release --manifest-path fuzz/Cargo.toml --target-dir $(2) \
	--target $(host) $(3) && cp $(addprefix $(2)/$(host)/release/,$(4)) $(fuzz_programs)

# No constant that a comparison could tell stands between a fuzzer and sequences of calls, and keeping the books of comparisons and of
# entropy takes as long as the calls: they go without.
fuzz: ## feed parsers and C calls what a fuzzer finds; TARGET="calls record" MINUTES=10 each, LENGTH=100 for short inputs
	@mkdir -p $(fuzz_programs)
	$(call fuzz_build,level=4 trace-compares,$(target)/fuzz,,seeds keep record segment hints image moves options)
	$(if $(filter calls,$(TARGET)),$(call fuzz_build,level=3,$(target)/fuzz/calls,--bin calls,calls))
	$(fuzz_programs)/seeds $(target)/fuzz/corpus
	@mkdir -p $(addprefix $(target)/fuzz/found/,$(TARGET)) $(addprefix $(target)/fuzz/corpus/,$(TARGET))
	@cd $(target)/fuzz && printf '%s\n' $(TARGET) | xargs -P $(SIDE_BY_SIDE) -I '{}' sh -c '\
		$(fuzz_programs)/{} -max_total_time=$$(( $(MINUTES) * 60 )) -timeout=60 -rss_limit_mb=4096 -verbosity=0 -print_final_stats=1 \
			$(if $(LENGTH),-max_len=$(LENGTH)) $$(case {} in calls) echo -entropic=0 -reduce_inputs=0;; esac) \
			-artifact_prefix=$(target)/fuzz/found/{}/ corpus/{} found/{} >{}.log 2>&1; \
		status=$$?; \
		if [ $$status = 0 ]; then grep executed {}.log; else cat {}.log; fi | sed "s/^/{}: /"; \
		exit $$status'

# What covers as much as all that was found with the fewest inputs.
fuzz-keep: ## keep in fuzz/kept what make fuzz has found, so that it is tried first everywhere; TARGET="calls record"
	@cd $(target)/fuzz && for target in $(TARGET); do \
		rm -rf merged && mkdir merged && \
		$(fuzz_programs)/$$target -merge=1 -verbosity=0 merged corpus/$$target found/$$target >merge.log 2>&1 && \
		$(fuzz_programs)/keep merged >$(CURDIR)/fuzz/kept/$$target.txt || { cat merge.log; exit 1; }; \
		wc -lc $(CURDIR)/fuzz/kept/$$target.txt; \
	done

# Loom's atomics take the place of the real ones in all that is built, hence a directory of its own.
model: ## try with loom what threads may do to each other where no lock keeps them apart
	RUSTFLAGS="--cfg loom --cfg crossbeam_loom" LOOM_MAX_PREEMPTIONS=2 CARGO_PROFILE_TEST_OPT_LEVEL=3 \
		$(CARGO) test --lib --target-dir $(target)/model -- interleavings --nocapture --test-threads 1

# Tree borrows, because epochs keep flags in their pointers. Left out is what takes Miri more than a minute.
# What the epochs have still to free when the process ends, Miri takes for lost: their list hides its pointers in numbers.
miri: ## run the tests of the packed memory in Miri, if the nightly compiler has it
	@$(CARGO) +nightly miri --version || { echo "skipped: get it by rustup component add --toolchain nightly miri rust-src"; exit 0; }; \
	MIRIFLAGS="-Zmiri-tree-borrows -Zmiri-ignore-leaks" $(CARGO) +nightly miri test --lib --target-dir $(target)/miri -- \
		memory:: index::bucket half_of_one_and_half_of_another come_together_in_one \
		--skip index::tests::memory --skip keys_of_all_lengths --skip oversize_keys --skip exactly_the_occupied_slots --skip without_a_page_there_is_no_cell

# The standard library is built with it as well, or what its threads and channels hand over would pass for races.
RACES ?= --test linearizable

tsan: ## run tests with threads under ThreadSanitizer, if nightly's source is there; RACES="--lib -- thread" for others
	@test -d "$$(rustc +nightly --print sysroot 2>&1)/lib/rustlib/src/rust/library" || \
		{ echo "skipped: get it by rustup component add --toolchain nightly rust-src"; exit 0; }; \
	RUSTFLAGS=-Zsanitizer=thread $(CARGO) +nightly test -Zbuild-std --target $(host) --target-dir $(target)/tsan $(RACES)

bench: ## measure the store beside a hash map and a plain log; BENCH_ARGUMENTS="--pairs 100000" for a quick look
	$(CARGO) bench --bench store -- $(BENCH_ARGUMENTS)

operations := $(target)/benches/operations

$(operations): library benches/instructions/operations.c
	@mkdir -p $(@D)
	$(CC) $(C_WARNINGS) $(CFLAGS) -Iinclude benches/instructions/operations.c $(link) -o $@

# With RENEW=1 it records instead of comparing.
instructions: $(operations) ## count the instructions of each operation, and compare with docs/benchmarks/instructions.md; RENEW=1
	FREYJA_OPERATIONS=$(operations) FREYJA_RENEW=$(RENEW) $(CARGO) test --test instructions -- --ignored --nocapture

OPERATION ?= get_into_hit

instruction-parts: $(operations) ## tell in which parts of the source an operation's instructions are; OPERATION=overwrite
	@place=$$(mktemp -d) && trap "rm -rf $$place" EXIT && valgrind --quiet --tool=callgrind --collect-atstart=no --toggle-collect=measured_$(OPERATION) \
		--callgrind-out-file=$$place/profile $(operations) $$place/store memory 20000 && \
	callgrind_annotate --threshold=100 --auto=no $$place/profile 2>$$place/complaints | \
		awk -v operations=20000 -f benches/instructions/parts.awk | sort -rn

bench-index: ## measure the index alone beside a hash map; BENCH_ARGUMENTS=200000 for a quick look
	$(CARGO) bench --bench index -- $(BENCH_ARGUMENTS)

bench-memory: ## measure from outside what a key costs in RAM; BENCH_ARGUMENTS="--keys 100000" for a quick look
	$(CARGO) bench --bench memory -- $(BENCH_ARGUMENTS)

bench-budget: ## fill stores against memory budgets, and watch from outside what they take
	$(CARGO) test --test memory_budget -- --ignored --nocapture larger_stores

bench-reopen: ## measure how long opening takes after close and kill, with and without image; BENCH_ARGUMENTS="--keys 10000000"
	$(CARGO) bench --bench reopen -- $(BENCH_ARGUMENTS)

bench-durable: ## measure durable puts beside LevelDB, RocksDB and bare fdatasync; BENCH_ARGUMENTS="--rounds 3" for a quick look
	$(CARGO) run --profile peers --package freyja-peers --bin durable -- $(BENCH_ARGUMENTS)

bench-peers: ## measure Freyja beside other embedded stores; BENCH_ARGUMENTS=--small for a quick look, --record
	$(CARGO) run --profile peers --package freyja-peers --bin peers -- $(BENCH_ARGUMENTS)

bench-scale: ## measure how costs grow with the number of pairs; BENCH_ARGUMENTS=--small for a quick look, "--most 30000000", --record
	$(CARGO) run --profile peers --package freyja-peers --bin scale -- $(BENCH_ARGUMENTS)

bench-limits: ## measure what the machine takes for the steps that a store is made of, and Freyja beside them; BENCH_ARGUMENTS=--record
	$(CARGO) run --profile peers --package freyja-peers --bin limits -- $(BENCH_ARGUMENTS)

bench-threads: ## measure what threads get done with one store, beside what they get done where they share nothing; BENCH_ARGUMENTS=--record
	$(CARGO) run --profile peers --package freyja-peers --bin threads -- $(BENCH_ARGUMENTS)

bench-compaction: ## measure space, writing and waiting while a data set is overwritten; BENCH_ARGUMENTS=--small for a quick look
	$(CARGO) run --profile peers --package freyja-peers --bin compaction -- $(BENCH_ARGUMENTS)

bench-pool: ## measure the buffer pool beside other allocators; BENCH_ARGUMENTS="--rounds 3" for a quick look
	$(CARGO) run --release --package freyja-pool-benchmark -- $(BENCH_ARGUMENTS)

lint: ## check formatting, lints, and the documentation's links
	$(CARGO) fmt --all --check
	$(CARGO) fmt --manifest-path fuzz/Cargo.toml --check
	$(CARGO) clippy --all-targets --features tool -- -D warnings
	$(CARGO) clippy --package freyja-peers --package freyja-pool-benchmark --all-targets -- -D warnings
	$(CARGO) clippy --features sabotage --test sabotage -- -D warnings
	RUSTDOCFLAGS="-D warnings -A rustdoc::private_intra_doc_links" $(CARGO) doc --no-deps

clean: ## remove everything that was built
	$(CARGO) clean
