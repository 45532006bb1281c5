#!/usr/bin/env python3
"""Reads a Freyja store without Freyja: written from docs/format.md alone, with nothing but the standard library.

    freyja_reader.py DIRECTORY     prints the live keys and values, and the damage, of one store
    freyja_reader.py --batch       reads the paths of stores from standard input, one a line; behind a path may stand a tab and the
                                   milliseconds since 1970-01-01 UTC to take for the present instead of what the clock says

It reads the log and passes over index images. It never writes. Its answer is lines of words:

    store PATH
    live KEY VALUE                 in hexadecimal, - for an empty one
    expired KEY MOMENT             the newest record of the key is a put that expired at this moment
    lost KEY                       the newest record of the key is damaged
    damage FILE OFFSET LENGTH      bytes that were durable and are not what was written
    torn FILE OFFSET               the log ends here; what follows was never known to be durable
    missing COUNT                  segments that should be there
    end SEQUENCE                   sequence number of the last record that counts
    refused REASON                 a newer Freyja wrote the store
"""

import os
import re
import sys
import time
import zlib

PUT, TOMBSTONE, MARK, FOOTER, HINTS, MANIFEST = 1, 2, 3, 4, 5, 6
EXPIRES, CONTINUES, FOLLOWS_DURABLE = 0x10, 0x20, 0x40
FLAGS = {PUT: EXPIRES | CONTINUES | FOLLOWS_DURABLE, TOMBSTONE: CONTINUES | FOLLOWS_DURABLE, MARK: 0, FOOTER: 0, HINTS: 0, MANIFEST: 0}
FRESH, COMPACTION = 1, 2
HEADER_LENGTH, FOOTER_LENGTH, ALIGNMENT = 128, 208, 16
MAGIC, END_MAGIC = b"\x89FREYJA\n", b"FREYEND\x89"
LONGEST_KEY, LONGEST_VALUE, LAST_SEQUENCE = 65536, 2**31 - 1, 2**63 - 1


class Refused(Exception):
    """A newer version of the format, or a backup that was cut short."""


def number(data, start, length):
    return int.from_bytes(data[start : start + length], "little")


class Header:
    """The header of a segment; ValueError if the bytes are none."""

    def __init__(self, data):
        if len(data) < HEADER_LENGTH or data[:8] != MAGIC:
            raise ValueError("no magic")
        if zlib.crc32(data[:124]) != number(data, 124, 4):
            raise ValueError("checksum")
        version, algorithm, origin, features = number(data, 8, 2), data[10], data[11], number(data, 12, 4)
        if version > 1 or algorithm != 1 or origin not in (1, 2) or features != 0:
            raise Refused("a segment of a newer version")
        self.origin = origin
        self.salt = number(data, 20, 4)
        self.store = data[24:40]
        self.id = number(data, 40, 8)
        self.base = number(data, 48, 8)
        self.predecessor = number(data, 56, 8)
        self.durable = number(data, 64, 8)
        self.expired_until = number(data, 72, 8)
        if not 1 <= self.base <= LAST_SEQUENCE or self.id == 0:
            raise ValueError("numbers")


class Record:
    """The record at an offset; ValueError if it cannot be made out, whatever its checksum."""

    def __init__(self, data, offset, base):
        self.offset = offset
        kind = data[offset + 4]
        self.kind, self.flags = kind & 0x0F, kind & 0xF0
        if self.kind not in FLAGS or self.flags & ~FLAGS[self.kind]:
            raise ValueError("kind")
        place, numbers = offset + 5, []
        for _ in range(3):
            value, place = varint(data, place)
            numbers.append(value)
        key_length, value_length, sequence = numbers
        self.sequence = sequence if self.kind in (MARK, FOOTER, HINTS, MANIFEST) else sequence + base
        if key_length > LONGEST_KEY or value_length > LONGEST_VALUE or self.sequence > LAST_SEQUENCE:
            raise ValueError("limit")
        shapes = {TOMBSTONE: value_length == 0, MARK: key_length == value_length == 0}
        shapes[FOOTER] = key_length == 0 and value_length == 199 and sequence == 0
        shapes[HINTS] = shapes[MANIFEST] = key_length == 0 and sequence == 0
        if not shapes.get(self.kind, True):
            raise ValueError("shape")
        self.expiry = None
        if self.flags & EXPIRES:
            self.expiry = number(data, place, 8)
            place += 8
        self.checked_end = place + key_length + value_length
        if self.checked_end > len(data):
            raise ValueError("past the end")
        self.key = data[place : place + key_length]
        self.value = data[place + key_length : self.checked_end]
        self.end = -(-self.checked_end // ALIGNMENT) * ALIGNMENT

    def durable(self, header):
        """The sequence number that this record, in a segment with such a header, says was durable."""
        if self.kind == MARK:
            return self.sequence
        if not self.flags & FOLLOWS_DURABLE:
            return 0
        return header.predecessor if self.sequence == header.base else self.sequence - 1


def varint(data, place):
    value = shift = 0
    while True:
        byte = data[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            if byte == 0 and shift:
                raise ValueError("not the shortest form")
            return value, place
        shift += 7
        if shift > 63:
            raise ValueError("too long")


class Span:
    """Invalid bytes, and the record that they seem to have been."""

    def __init__(self, offset, end, before, record):
        self.offset, self.end, self.before, self.record = offset, end, before, record


class Segment:
    """A segment file, scanned from front to back."""

    def __init__(self, name, data):
        self.name, self.data = name, data
        self.header_is_damaged = False
        try:
            self.header = Header(data)
        except ValueError:
            copy = data[-FOOTER_LENGTH:][65:193]
            self.header = Header(copy)
            self.header_is_damaged = True
            if self.footer_at(len(data) - FOOTER_LENGTH) is None:
                raise
        if name != "%016x.seg" % self.header.id:
            raise ValueError("the name belongs to another segment")
        self.items = []
        self.durable = self.header.durable
        self.hints = None
        self.expired_until = self.header.expired_until
        self.footer = self.footer_at(len(data) - FOOTER_LENGTH)
        if self.footer is not None:
            self.hints = self.hints_of(len(data) - FOOTER_LENGTH)
            footer = Record(data, len(data) - FOOTER_LENGTH, self.header.base)
            self.expired_until = max(self.expired_until, number(footer.value, 185, 6))
        self.scan()

    def manifest(self):
        """The segments that the manifest at the beginning lists, and whether each was complete; None if there is none."""
        if self.header.origin != COMPACTION:
            return None
        record = self.try_record_at(HEADER_LENGTH, None, 0)
        if record is None or record.kind != MANIFEST:
            return None
        members, place, id = {}, 0, 0
        try:
            while place < len(record.value):
                value, place = varint(record.value, place)
                if value < 2:
                    return None
                id += value >> 1
                members[id] = value & 1 == 1
        except (ValueError, IndexError):
            return None
        return members

    def footer_at(self, offset):
        """The last sequence number that the footer at `offset` states; None if there is none."""
        if offset < HEADER_LENGTH:
            return None
        try:
            record = self.record_at(offset, None, 0)
        except (ValueError, IndexError):
            return None
        value = record.value
        if record.kind != FOOTER or number(value, 32, 8) != offset or value[191:] != END_MAGIC:
            return None
        if not self.header_is_damaged and value[56:184] != self.data[:HEADER_LENGTH]:
            return None
        return number(value, 24, 8)

    def hints_of(self, footer):
        """Where the hints in front of the valid footer at this offset begin; None if there are none."""
        at = number(Record(self.data, footer, self.header.base).value, 48, 8)
        return at if HEADER_LENGTH <= at < footer and at % ALIGNMENT == 0 else None

    def record_at(self, offset, last, room):
        """The valid record at `offset`, behind the sequence number `last` with room for so many more between."""
        record = Record(self.data, offset, self.header.base)
        if last is not None and record.kind in (PUT, TOMBSTONE):
            fits = record.sequence > last
            if self.header.origin == FRESH:
                fits = last < record.sequence <= last + 1 + room
            if not fits:
                raise ValueError("sequence number")
        start = self.header.salt ^ (offset // ALIGNMENT & 0xFFFFFFFF)
        if zlib.crc32(self.data[offset + 4 : record.checked_end], start) != number(self.data, offset, 4):
            raise ValueError("checksum")
        return record

    def try_record_at(self, offset, last, room):
        try:
            return self.record_at(offset, last, room)
        except (ValueError, IndexError):
            return None

    def scan(self):
        data, offset = self.data, HEADER_LENGTH
        last, skipped = self.header.base - 1, 0
        zeros = len(data.rstrip(b"\0"))
        while offset < zeros:
            if offset == self.hints:
                # The records say the same; even damage to the hints is none to the store.
                offset = len(data) - FOOTER_LENGTH
            record = self.try_record_at(offset, last, skipped // ALIGNMENT)
            if record is None:
                offset, skipped = self.skip(offset, last, skipped, zeros)
                continue
            if record.kind == FOOTER:
                stated = self.footer_at(offset)
                if stated is not None:
                    self.footer = stated
                    behind = offset + FOOTER_LENGTH
                    if behind < zeros:
                        self.items.append(Span(behind, zeros, last, None))
                    break
                offset, skipped = self.skip(offset, last, skipped, zeros)
                continue
            self.items.append(record)
            self.durable = max(self.durable, record.durable(self.header))
            if record.kind in (PUT, TOMBSTONE):
                last, skipped = record.sequence, 0
            offset = record.end
        if self.footer is not None:
            self.durable = max(self.durable, self.footer)

    def skip(self, start, last, skipped, zeros):
        """Passes over invalid bytes; answers where to go on, and how many were skipped since the last record."""
        try:
            head = Record(self.data, start, self.header.base)
        except (ValueError, IndexError):
            head = None
        if head is not None and head.kind not in (PUT, TOMBSTONE):
            head = None
        end = None
        if head is not None and head.sequence == last + 1 and self.leads_on(head, last):
            end = head.end
            # What stands inside may be the value's, but a mark there counts.
            for place in range(start + ALIGNMENT, end, ALIGNMENT):
                inner = self.try_record_at(place, last, (skipped + place - start) // ALIGNMENT)
                if inner is not None:
                    self.durable = max(self.durable, inner.durable(self.header))
        place = start + ALIGNMENT
        while end is None and place < zeros:
            if place == self.hints or self.try_record_at(place, last, (skipped + place - start) // ALIGNMENT) is not None:
                end = place
            place += ALIGNMENT
        if end is None:
            end = len(self.data)
        known = head
        if head is not None:
            if end < zeros:
                following = self.following(end, last, (skipped + end - start) // ALIGNMENT)
                if head.end != end or following == last + 1:
                    known = None
            elif head.end < zeros or head.sequence != last + 1:
                known = None
        self.items.append(Span(start, min(end, -(-zeros // ALIGNMENT) * ALIGNMENT), last, known))
        return end, skipped + end - start

    def leads_on(self, head, last):
        """Whether the record or footer behind `head` is the one that would come next if `head` were whole."""
        following = self.following(head.end, last, (head.end - head.offset) // ALIGNMENT)
        return following == head.sequence + 1

    def following(self, place, last, room):
        """The sequence number of the next record at `place`, marks aside; of a footer, the one it leaves to come."""
        for _ in range(16):
            if place == self.hints:
                place = len(self.data) - FOOTER_LENGTH
            record = self.try_record_at(place, last, room)
            if record is None:
                return None
            if record.kind == FOOTER:
                stated = self.footer_at(place)
                return None if stated is None else stated + 1
            if record.kind not in (MARK, HINTS, MANIFEST):
                return record.sequence
            place = record.end
        return None


def without_strays(segments):
    """All but the segments that are still empty though their sequence numbers were used in one before."""
    highest, kept = 0, []
    for segment in segments:
        if isinstance(segment, Segment):
            empty = segment.footer is None and len(segment.data.rstrip(b"\0")) <= HEADER_LENGTH
            if empty and segment.header.base <= highest:
                continue
            numbers = [item.sequence for item in segment.items if not isinstance(item, Span) and item.kind in (PUT, TOMBSTONE)]
            highest = max([highest, segment.footer or 0] + numbers)
        kept.append(segment)
    return kept


class Store:
    """What a directory holds."""

    def __init__(self, directory, now):
        self.now = now
        self.damage, self.tail, self.torn, self.missing, self.last = [], None, None, 0, 0
        self.newest = {}
        if "BACKUP.new" in os.listdir(directory):
            raise Refused("a backup that was cut short")
        names = sorted(name for name in os.listdir(directory) if re.fullmatch("[0-9a-f]{16}[.]seg", name))
        segments = []
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                data = file.read()
            try:
                segments.append(Segment(name, data))
            except (ValueError, IndexError):
                segments.append((name, len(data)))
        segments = without_strays(segments)
        readable = [segment for segment in segments if isinstance(segment, Segment)]
        stores = [segment.header.store for segment in readable]
        store = max(stores, key=stores.count, default=None)
        self.explained, self.complete = 0, set()
        for segment in readable:
            if segment.header.store == store:
                self.now = max(self.now, segment.expired_until)
        segments = self.without_replaced(segments, store)
        readable = [segment for segment in segments if isinstance(segment, Segment)]
        self.durable = max((segment.durable for segment in readable), default=0)
        self.read(segments, store)

    def without_replaced(self, segments, store):
        """The segments but those that compaction has replaced, as the newest manifest says."""
        own = [segment for segment in segments if isinstance(segment, Segment) and segment.header.store == store]
        for owner in reversed(own):
            members = owner.manifest()
            if members is None:
                continue
            ids = {int((it.name if isinstance(it, Segment) else it[0])[:16], 16) for it in segments}
            self.missing += sum(1 for id, complete in members.items() if complete and id not in ids)
            self.explained = self.last = owner.header.durable
            self.complete = {id for id, complete in members.items() if complete}
            gone = {it.header.id for it in own if it.header.id < owner.header.id and it.header.id not in members}
            return [it for it in segments if not isinstance(it, Segment) or it not in own or it.header.id not in gone]
        return segments

    def read(self, segments, store):
        previous_id, gap_is_explained, fresh_last = 0, False, 0
        for position, segment in enumerate(segments):
            if not isinstance(segment, Segment):
                self.damage.append((segment[0], 0, segment[1]))
                previous_id, gap_is_explained = int(segment[0][:16], 16), True
                continue
            header = segment.header
            fresh = header.origin == FRESH
            if header.store != store or (fresh and self.torn is None and header.base <= fresh_last):
                self.damage.append((segment.name, 0, len(segment.data)))
                previous_id, gap_is_explained = header.id, True
                continue
            if not fresh:
                # It got its name when it was complete and durable.
                previous_id = header.id
                if self.apply_complete(segment, LAST_SEQUENCE) is None:
                    gap_is_explained = True
                continue
            known = max(fresh_last, self.explained)
            if header.predecessor > known and not gap_is_explained and self.torn is None:
                if known >= self.durable:
                    self.torn = self.tail or (segment.name, 0)
                else:
                    self.missing += max(header.id - previous_id - 1, 1)
            previous_id, gap_is_explained = header.id, False
            if self.torn is not None:
                continue
            later = [it for it in segments[position + 1 :] if not isinstance(it, Segment) or it.header.origin == FRESH]
            held = later[0].header.predecessor if later and isinstance(later[0], Segment) else LAST_SEQUENCE
            if header.id in self.complete:
                last = self.apply_complete(segment, held)
                gap_is_explained = last is None
                fresh_last = max(fresh_last, last or 0)
                continue
            fresh_last = max(fresh_last, self.apply(segment, min(self.durable, held)))

    def apply_complete(self, segment, held):
        """The same for a segment that was durable as a whole, with its footer, and held nothing behind `held`; None if
        nothing is left of it."""
        if segment.footer is None:
            if not segment.items:
                self.damage.append((segment.name, 0, len(segment.data)))
                return None
            last, following, whole = 0, segment.header.base, True
            for item in segment.items:
                if isinstance(item, Span):
                    whole = False
                elif item.kind in (PUT, TOMBSTONE):
                    whole = whole and (segment.header.origin != FRESH or item.sequence == following)
                    last, following = item.sequence, item.sequence + 1
            if whole and last < held:
                self.damage.append((segment.name, segment.items[-1].end, FOOTER_LENGTH))
        return self.apply(segment, held)

    def apply(self, segment, durable):
        """Takes over what counts of a segment, of which everything up to `durable` was durable; answers its last
        sequence number."""
        last = 0
        if segment.header_is_damaged:
            self.damage.append((segment.name, 0, HEADER_LENGTH))
        batch, following = [], segment.header.base
        for item in segment.items:
            if isinstance(item, Span):
                if segment.footer is None and item.before >= durable:
                    # Torn, or, where the next segment goes on without a gap, what was to be a footer.
                    self.tail = (segment.name, item.offset)
                    break
                self.damage.append((segment.name, item.offset, item.end - item.offset))
                for record in batch:
                    last = self.newest_is(record)
                batch = []
                if item.record is not None:
                    self.supersede(item.record.sequence, item.record.key, None)
            elif item.kind not in (MARK, HINTS, MANIFEST):
                gap = segment.header.origin == FRESH and item.sequence > following
                if gap and segment.footer is None and item.sequence - 1 > durable:
                    # The damage before took records that were never durable.
                    self.tail = (segment.name, item.offset)
                    break
                following = item.sequence + 1
                batch.append(item)
                if not item.flags & CONTINUES or item.sequence <= durable:
                    for record in batch:
                        last = self.newest_is(record)
                    batch = []
        if segment.footer is not None:
            last = max(last, segment.footer)
            self.last = max(self.last, segment.footer)
        return last

    def newest_is(self, record):
        self.last = max(self.last, record.sequence)
        self.supersede(record.sequence, record.key, record)
        return record.sequence

    def supersede(self, sequence, key, record):
        if self.newest.get(key, (0, None))[0] <= sequence:
            self.newest[key] = (sequence, record)

    def tell(self):
        for key, (_, record) in sorted(self.newest.items()):
            if record is None:
                yield "lost %s" % word(key)
            elif record.kind == PUT and record.expiry is not None and record.expiry <= self.now:
                yield "expired %s %d" % (word(key), record.expiry)
            elif record.kind == PUT:
                yield "live %s %s" % (word(key), word(record.value))
        for place in self.damage:
            yield "damage %s %d %d" % place
        if self.tail or self.torn:
            yield "torn %s %d" % (self.torn or self.tail)
        if self.missing:
            yield "missing %d" % self.missing
        yield "end %d" % self.last


def word(data):
    return data.hex() or "-"


def tell(directory, now):
    print("store", directory)
    try:
        for line in Store(directory, now).tell():
            print(line)
    except Refused as reason:
        print("refused", reason)


def main(arguments):
    now = time.time_ns() // 1000000
    if arguments == ["--batch"]:
        for line in sys.stdin:
            path, _, moment = line.rstrip("\n").partition("\t")
            tell(path, int(moment or now))
    elif len(arguments) == 1 and os.path.isdir(arguments[0]):
        tell(arguments[0], now)
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
