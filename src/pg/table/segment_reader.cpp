// Opens segments for reading. Heads (header and footer) are parsed once a backend and kept in a
// cache bounded by tsext.footer_cache_size; segments are immutable, so nothing invalidates them.
// Blocks (columns) are fetched on first use into 64-byte-aligned buffers that the reader reuses.

#include "pg/table/segment_reader.hpp"

#include <cstring>
#include <new>

#include "pg/base/boundary.hpp"
#include "pg/base/settings.hpp"
#include "pg/catalog/options.hpp"

extern "C" {
#include "access/htup_details.h"
#include "access/table.h"
#include "lib/ilist.h"
#include "storage/bufmgr.h"
#include "utils/hsearch.h"
#include "utils/memutils.h"
}

namespace tsext::pg {
namespace {

constexpr size_t kBufferAlignment = 64;
/// First read of a segment: heads are seldom longer.
constexpr size_t kFirstRead = 8192;
constexpr uint32_t kNoVector = UINT32_MAX;
/// What an entry of the cache of heads takes of its hash table.
constexpr size_t kEntryBytes = 128;

/// Memory of a context for the core; lives in that context.
ContextResource *ResourceOf(MemoryContext context) {
  return new (MemoryContextAlloc(context, sizeof(ContextResource))) ContextResource(context);
}

std::byte *AllocateBuffer(ContextResource *resource, size_t size) {
  return static_cast<std::byte *>(resource->allocate(size, kBufferAlignment));
}

/// A large object without the zeros of New(). Never destroyed: what it owns goes with the context.
template <typename T, typename... Args>
T *NewVector(ContextResource *resource, Args... args) {
  return new (AllocateBuffer(resource, sizeof(T))) T(args...);
}

// ---- The cache of parsed heads ----

/// No padding: hashed as bytes.
struct HeadKey {
  Oid store;
  int32_t seg;
  Oid value_id;
};
static_assert(sizeof(HeadKey) == 12);

struct HeadEntry {
  HeadKey key;
  int32_t pins;           // readers that have it open: not to be evicted
  MemoryContext context;  // holds the head and all its memory
  SegmentHead *head;
  size_t size_bytes;
  dlist_node lru;  // most recently used first
};

struct HeadCache {
  MemoryContext context;
  HTAB *entries;
  dlist_head lru;
  size_t size_bytes;
};

HeadCache *head_cache = nullptr;

HeadCache *GetHeadCache() {
  if (head_cache != nullptr) return head_cache;
  MemoryContext context =
      AllocSetContextCreate(TopMemoryContext, "tsext footers", ALLOCSET_DEFAULT_SIZES);
  auto *cache = static_cast<HeadCache *>(MemoryContextAllocZero(context, sizeof(HeadCache)));
  cache->context = context;
  dlist_init(&cache->lru);
  HASHCTL control = {};
  control.keysize = sizeof(HeadKey);
  control.entrysize = sizeof(HeadEntry);
  control.hcxt = context;
  cache->entries =
      hash_create("tsext footers", 256, &control, HASH_ELEM | HASH_BLOBS | HASH_CONTEXT);
  return head_cache = cache;
}

/// dlist_container() does not compile as C++.
HeadEntry *EntryOf(dlist_node *node) {
  return reinterpret_cast<HeadEntry *>(reinterpret_cast<char *>(node) - offsetof(HeadEntry, lru));
}

void Evict(HeadCache *cache, HeadEntry *entry) {
  dlist_delete(&entry->lru);
  cache->size_bytes -= entry->size_bytes;
  MemoryContextDelete(entry->context);
  hash_search(cache->entries, &entry->key, HASH_REMOVE, nullptr);
}

/// Evicts the longest unused heads until the cache fits its setting; open ones stay.
void ShrinkCache(HeadCache *cache) {
  const size_t limit = static_cast<size_t>(footer_cache_size_kb) * 1024;
  dlist_node *at = dlist_is_empty(&cache->lru) ? nullptr : dlist_tail_node(&cache->lru);
  while (at != nullptr && cache->size_bytes > limit) {
    dlist_node *before =
        dlist_has_prev(&cache->lru, at) ? dlist_prev_node(&cache->lru, at) : nullptr;
    HeadEntry *entry = EntryOf(at);
    if (entry->pins == 0) Evict(cache, entry);
    at = before;
  }
}

/// The cached head of a segment, or nullptr.
HeadEntry *FindHead(HeadCache *cache, const HeadKey &key) {
  auto *entry = static_cast<HeadEntry *>(hash_search(cache->entries, &key, HASH_FIND, nullptr));
  if (entry != nullptr) dlist_move_head(&cache->lru, &entry->lru);
  return entry;
}

/// Gives a parsed head and the context it lives in to the cache.
HeadEntry *AddHead(HeadCache *cache, const HeadKey &key, MemoryContext context, SegmentHead *head) {
  bool found;
  auto *entry = static_cast<HeadEntry *>(hash_search(cache->entries, &key, HASH_ENTER, &found));
  Assert(!found);
  entry->pins = 0;
  entry->context = context;
  entry->head = head;
  entry->size_bytes = MemoryContextMemAllocated(context, true) + kEntryBytes;
  MemoryContextSetParent(context, cache->context);
  dlist_push_head(&cache->lru, &entry->lru);
  cache->size_bytes += entry->size_bytes;
  return entry;
}

}  // namespace

// ---- Readers ----

namespace {

/// What a reader keeps for one attribute, from segment to segment.
struct ReaderColumn {
  BlockReader *block;
  Vector *vector;                    // made on first use
  CodeVector *codes;                 // made on first use
  std::pmr::vector<ValueRun> *runs;  // made on first use
  bool has_read_runs;                // of the current segment
  std::byte *buffer;
  size_t buffer_size;
  bool is_open;            // for the current segment
  bool is_absent;          // the current segment does not have the attribute
  uint32_t decoded;        // index of the vector in `vector`, or kNoVector
  uint32_t decoded_codes;  // likewise in `codes`
};

}  // namespace

struct SegmentReader {
  MemoryContext context;
  ContextResource *resource;
  Relation relation;
  Relation toast;
  TupleDesc descriptor;
  Snapshot snapshot;
  BufferAccessStrategy strategy;
  const SegmentRow *row;
  HeadEntry *head;
  ReaderColumn **columns;  // by attribute number - 1, made on first use
  ReaderColumn *shared;    // of SegmentReaderRows, made on first use
  SegmentReaderCounters counters;
  MemoryContextCallback unpin;
};

namespace {

void Unpin(SegmentReader *reader) {
  if (reader->head != nullptr) reader->head->pins--;
  reader->head = nullptr;
  reader->row = nullptr;
}

/// How a chunk is called in messages: by its start.
const char *ChunkText(Relation relation, const SegmentRow *row) {
  const TableOptions *options = GetTableOptions(relation);
  return TimeText(row->chunk_start, options->time_type);
}

[[noreturn]] void RaiseDamaged(const SegmentReader *reader, const SegmentRow *row,
                               AttrNumber attribute, const Status &status) {
  const char *table = RelationGetRelationName(reader->relation);
  const char *chunk = ChunkText(reader->relation, row);
  const char *column =
      attribute > 0 ? NameStr(TupleDescAttr(reader->descriptor, attribute - 1)->attname) : nullptr;
  if (status.code() == StatusCode::kUnsupported) {
    ereport(ERROR,
            (errcode(ERRCODE_FEATURE_NOT_SUPPORTED),
             errmsg("segment %d of chunk \"%s\" of table \"%s\" was written by a newer version of "
                    "tsext",
                    row->seg, chunk, table),
             column != nullptr ? errdetail("Column \"%s\": %s.", column, status.message())
                               : errdetail("Head: %s.", status.message()),
             errhint("This is tsext %s; install a newer one.", TSEXT_VERSION)));
  }
  ereport(ERROR,
          (errcode(ERRCODE_DATA_CORRUPTED),
           errmsg("segment %d of chunk \"%s\" of table \"%s\" is damaged", row->seg, chunk, table),
           column != nullptr ? errdetail("Column \"%s\": %s.", column, status.message())
                             : errdetail("Head: %s.", status.message()),
           errhint("Restore the table from a backup, or drop the chunk with drop_chunks().")));
}

/// Reads, parses and checks a head against its directory row. Memory in a context of its own.
SegmentHead *ReadHead(SegmentReader *reader, const SegmentRow *row, MemoryContext head_context) {
  const auto nbytes = static_cast<size_t>(row->nbytes);
  MemoryContext scratch =
      AllocSetContextCreate(reader->context, "tsext head bytes", ALLOCSET_DEFAULT_SIZES);
  ContextResource *resource = ResourceOf(scratch);
  const auto check = [&](const Status &status) {
    if (!status.ok()) RaiseDamaged(reader, row, InvalidAttrNumber, status);
  };
  const auto read = [&](size_t offset, size_t size, std::byte *out) {
    check(StoreTryRead(reader->toast, row, reader->snapshot, offset, size, out, reader->strategy));
  };

  size_t have = Min(kFirstRead, nbytes);
  std::byte *bytes = AllocateBuffer(resource, have);
  read(0, have, bytes);
  if (have < SegmentHead::kPrefixSize) check(Status::Corrupt("it is too short"));
  uint64_t head_size = 0;
  check(SegmentHead::HeadSize({bytes, SegmentHead::kPrefixSize}, head_size));
  if (head_size > nbytes) check(Status::Corrupt("it is longer than the segment"));
  if (head_size > have) {
    std::byte *all = AllocateBuffer(resource, head_size);
    memcpy(all, bytes, have);
    read(have, head_size - have, all + have);
    bytes = all;
  }

  auto *head = New<SegmentHead>(head_context, ResourceOf(head_context));
  check(head->Parse({bytes, static_cast<size_t>(head_size)}));
  if (head->value_id() != row->value_id) check(Status::Corrupt("it belongs to another segment"));
  if (head->row_count() != static_cast<uint32_t>(row->nrows) || head->segment_size() != nbytes)
    check(Status::Corrupt("its size differs from the directory's"));
  MemoryContextDelete(scratch);
  return head;
}

ReaderColumn *MakeColumn(SegmentReader *reader) {
  auto *made =
      static_cast<ReaderColumn *>(MemoryContextAllocZero(reader->context, sizeof(ReaderColumn)));
  made->block = New<BlockReader>(reader->context, reader->resource);
  return made;
}

ReaderColumn *ColumnOf(SegmentReader *reader, AttrNumber attribute) {
  ReaderColumn *&column = reader->columns[attribute - 1];
  if (column == nullptr) column = MakeColumn(reader);
  return column;
}

/// Fetches a column's block and opens it.
void OpenColumn(SegmentReader *reader, ReaderColumn *column, AttrNumber attribute) {
  const SegmentHead &head = *reader->head->head;
  const int index = head.FindColumn(attribute);
  column->decoded = column->decoded_codes = kNoVector;
  column->has_read_runs = false;
  column->is_open = true;
  column->is_absent = index < 0;
  if (column->is_absent) return;

  const ColumnFooter &footer = head.columns()[static_cast<size_t>(index)];
  const auto check = [&](const Status &status) {
    if (!status.ok()) RaiseDamaged(reader, reader->row, attribute, status);
  };
  const Form_pg_attribute form = TupleDescAttr(reader->descriptor, attribute - 1);
  if (!IsReadableAs(footer.type, footer.width, ClassOf(form)))
    check(Status::Corrupt("its values are stored as another type"));
  const auto length = static_cast<size_t>(footer.length);
  if (length > column->buffer_size) {
    if (column->buffer != nullptr)
      reader->resource->deallocate(column->buffer, column->buffer_size, kBufferAlignment);
    column->buffer = nullptr;
    const size_t size = Max(length, column->buffer_size + column->buffer_size / 2);
    column->buffer_size = 0;
    column->buffer = AllocateBuffer(reader->resource, size);
    column->buffer_size = size;
  }
  check(StoreTryRead(reader->toast, reader->row, reader->snapshot,
                     static_cast<size_t>(footer.offset), length, column->buffer, reader->strategy));
  check(column->block->Open(head, static_cast<uint32_t>(index), {column->buffer, length}));
  reader->counters.bytes_read += length;
}

/// The open column of an attribute in the current segment; nullptr when the segment lacks it.
ReaderColumn *OpenedColumn(SegmentReader *reader, AttrNumber attribute) {
  const TupleDesc descriptor = reader->descriptor;
  Assert(attribute > 0 && attribute <= descriptor->natts);
  if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) return nullptr;
  ReaderColumn *column = ColumnOf(reader, attribute);
  if (!column->is_open) OpenColumn(reader, column, attribute);
  return column->is_absent ? nullptr : column;
}

/// Vector `index` of an open column.
const Vector *ReadVector(SegmentReader *reader, ReaderColumn *column, AttrNumber attribute,
                         uint32_t index) {
  if (column->decoded != index) {
    if (column->vector == nullptr)
      column->vector = NewVector<Vector>(reader->resource, reader->resource);
    column->decoded = kNoVector;
    const Status status = column->block->Read(index, *column->vector);
    if (!status.ok()) RaiseDamaged(reader, reader->row, attribute, status);
    column->decoded = index;
    reader->counters.values_decoded += column->vector->count;
  }
  return column->vector;
}

/// The codes of vector `index` of an open column that has a dictionary.
const CodeVector *ReadCodes(SegmentReader *reader, ReaderColumn *column, AttrNumber attribute,
                            uint32_t index) {
  if (column->decoded_codes != index) {
    if (column->codes == nullptr) column->codes = NewVector<CodeVector>(reader->resource);
    column->decoded_codes = kNoVector;
    const Status status = column->block->ReadCodes(index, *column->codes);
    if (!status.ok()) RaiseDamaged(reader, reader->row, attribute, status);
    column->decoded_codes = index;
    reader->counters.values_decoded += column->codes->count;
  }
  return column->codes;
}

}  // namespace

SegmentReader *SegmentReaderCreate(Relation relation, Snapshot snapshot, MemoryContext context) {
  MemoryContext own =
      AllocSetContextCreate(context, "tsext segment reader", ALLOCSET_DEFAULT_SIZES);
  auto *reader = static_cast<SegmentReader *>(MemoryContextAllocZero(own, sizeof(SegmentReader)));
  reader->context = own;
  reader->resource = ResourceOf(own);
  reader->relation = relation;
  reader->descriptor = RelationGetDescr(relation);
  reader->snapshot = snapshot;
  const auto natts = static_cast<size_t>(RelationGetDescr(relation)->natts);
  reader->columns = static_cast<ReaderColumn **>(
      MemoryContextAllocZero(own, Max(natts, size_t{1}) * sizeof(void *)));
  reader->unpin.func = [](void *of) { Unpin(static_cast<SegmentReader *>(of)); };
  reader->unpin.arg = reader;
  MemoryContextRegisterResetCallback(own, &reader->unpin);
  reader->toast = table_open(relation->rd_rel->reltoastrelid, AccessShareLock);
  return reader;
}

void SegmentReaderUseDescriptor(SegmentReader *reader, TupleDesc descriptor) {
  Assert(reader->row == nullptr && descriptor->natts <= RelationGetDescr(reader->relation)->natts);
  reader->descriptor = descriptor;
}

void SegmentReaderUseRing(SegmentReader *reader) {
  if (reader->strategy != nullptr) return;
  MemoryContext old = MemoryContextSwitchTo(reader->context);
  reader->strategy = GetAccessStrategy(BAS_BULKREAD);
  MemoryContextSwitchTo(old);
}

void SegmentReaderOpen(SegmentReader *reader, const SegmentRow *row) {
  if (reader->head != nullptr) {
    const HeadKey &open = reader->head->key;
    if (open.store == row->store && open.seg == row->seg && open.value_id == row->value_id) {
      reader->row = row;
      return;
    }
  }
  Unpin(reader);
  for (int i = 0; i < reader->descriptor->natts; i++)
    if (reader->columns[i] != nullptr) reader->columns[i]->is_open = false;

  HeadCache *cache = GetHeadCache();
  ShrinkCache(cache);
  const HeadKey key = {row->store, row->seg, row->value_id};
  HeadEntry *entry = FindHead(cache, key);
  if (entry == nullptr) {
    // Until it is parsed the head belongs to the reader: an error takes it along.
    MemoryContext head_context =
        AllocSetContextCreate(reader->context, "tsext footer", ALLOCSET_SMALL_SIZES);
    SegmentHead *head = ReadHead(reader, row, head_context);
    entry = AddHead(cache, key, head_context, head);
  }
  entry->pins++;
  reader->head = entry;
  reader->row = row;
}

const SegmentHead &SegmentReaderHead(const SegmentReader *reader) {
  return *reader->head->head;
}

const Vector *SegmentReaderVector(SegmentReader *reader, AttrNumber attribute, uint32_t index) {
  ReaderColumn *column = OpenedColumn(reader, attribute);
  return column == nullptr ? nullptr : ReadVector(reader, column, attribute, index);
}

const CodeVector *SegmentReaderCodes(SegmentReader *reader, AttrNumber attribute, uint32_t index) {
  ReaderColumn *column = OpenedColumn(reader, attribute);
  if (column == nullptr || column->block->Dictionary().empty()) return nullptr;
  return ReadCodes(reader, column, attribute, index);
}

std::span<const ByteView> SegmentReaderDictionary(SegmentReader *reader, AttrNumber attribute) {
  const ReaderColumn *column = OpenedColumn(reader, attribute);
  return column == nullptr ? std::span<const ByteView>{} : column->block->Dictionary();
}

std::span<const ValueRun> SegmentReaderRuns(SegmentReader *reader, AttrNumber attribute) {
  ReaderColumn *column = OpenedColumn(reader, attribute);
  if (column == nullptr) return {};
  if (!column->has_read_runs) {
    if (column->runs == nullptr)
      column->runs = New<std::pmr::vector<ValueRun>>(reader->context, reader->resource);
    const Status status = column->block->ReadRuns(*column->runs);
    if (!status.ok()) RaiseDamaged(reader, reader->row, attribute, status);
    column->has_read_runs = true;
  }
  return *column->runs;
}

const SegmentReaderCounters &SegmentReaderCount(const SegmentReader *reader) {
  return reader->counters;
}

Datum SegmentReaderValue(SegmentReader *reader, AttrNumber attribute, uint32_t row, bool *is_null) {
  const TupleDesc descriptor = reader->descriptor;
  const Vector *vector = SegmentReaderVector(reader, attribute, row / kVectorSize);
  if (vector == nullptr) {
    if (TupleDescAttr(descriptor, attribute - 1)->attisdropped) {
      *is_null = true;
      return 0;
    }
    return getmissingattr(descriptor, attribute, is_null);
  }
  *is_null = vector->IsNull(row % kVectorSize);
  if (*is_null) return 0;
  return VectorDatum(*vector, row % kVectorSize, ClassOf(TupleDescAttr(descriptor, attribute - 1)));
}

void SegmentReaderRows(SegmentReader *reader, AttrNumber attribute, const uint32_t *rows,
                       uint32_t count, Datum *values, bool *nulls) {
  const TupleDesc descriptor = reader->descriptor;
  const Form_pg_attribute form = TupleDescAttr(descriptor, attribute - 1);
  ReaderColumn *column = reader->columns[attribute - 1];
  if (form->attisdropped || column == nullptr || !column->is_open) {
    if (reader->shared == nullptr) reader->shared = MakeColumn(reader);
    column = reader->shared;
    column->is_absent = true;
    if (!form->attisdropped) OpenColumn(reader, column, attribute);
  }
  if (column->is_absent) {
    for (uint32_t i = 0; i < count; i++) {
      values[i] = 0;
      nulls[i] = true;
      if (!form->attisdropped) values[i] = getmissingattr(descriptor, attribute, &nulls[i]);
    }
    return;
  }
  const DatumClass type = ClassOf(form);
  const auto dictionary = column->block->Dictionary();
  for (uint32_t i = 0; i < count; i++) {
    const uint32_t at = rows[i] % kVectorSize;
    if (!dictionary.empty()) {
      const CodeVector *codes = ReadCodes(reader, column, attribute, rows[i] / kVectorSize);
      nulls[i] = codes->IsNull(at);
      values[i] = nulls[i] ? 0 : BytesToDatum(dictionary[codes->codes[at]], type);
    } else {
      const Vector *vector = ReadVector(reader, column, attribute, rows[i] / kVectorSize);
      nulls[i] = vector->IsNull(at);
      values[i] = nulls[i] ? 0 : VectorDatum(*vector, at, type);
    }
  }
}

const char *SegmentReaderEncoding(SegmentReader *reader, AttrNumber attribute) {
  const ReaderColumn *column = OpenedColumn(reader, attribute);
  return column == nullptr ? nullptr : column->block->EncodingName();
}

void SegmentReaderClose(SegmentReader *reader) {
  table_close(reader->toast, NoLock);
  MemoryContextDelete(reader->context);
  if (head_cache != nullptr) ShrinkCache(head_cache);
}

}  // namespace tsext::pg
