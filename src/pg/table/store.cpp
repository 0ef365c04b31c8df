// ColdStore in the table's TOAST relation. A value is cut into pieces of kPieceSize bytes, each one
// tuple (chunk_id = value id, chunk_seq = piece number, chunk_data = the bytes behind a plain
// 4-byte varlena header), so large that a page holds exactly one; only a last piece may be shorter
// and share its page with others.
//
// Core's detoasting never sees these values: no TOAST pointer to them exists.

#include "pg/table/store.hpp"

#include <cstring>

#include "pg/base/boundary.hpp"
#include "pg/base/stop_point.hpp"

extern "C" {
#include "access/genam.h"
#include "access/heaptoast.h"
#include "access/htup_details.h"
#include "access/toast_internals.h"
#include "access/transam.h"
#include "access/xact.h"
#include "access/xlog.h"
#include "catalog/catalog.h"
#include "executor/tuptable.h"
#include "storage/bufmgr.h"
#include "utils/fmgroids.h"
#include "utils/snapmgr.h"
#include "utils/spccache.h"
}

namespace tsext::pg {
namespace {

/// chunk_id and chunk_seq in front of the varlena chunk_data.
constexpr size_t kPieceHeader = sizeof(Oid) + sizeof(int32);
constexpr size_t kPieceSize =
    (MaxHeapTupleSize - MAXALIGN(SizeofHeapTupleHeader) - kPieceHeader - VARHDRSZ) & ~size_t{7};
static_assert(BLCKSZ != 8192 || kPieceSize == 8120);

constexpr int kInsertBatch = 64;

int32_t PieceCount(size_t size) {
  return static_cast<int32_t>((size + kPieceSize - 1) / kPieceSize);
}

size_t PieceLength(size_t nbytes, int32_t piece) {
  return Min(kPieceSize, nbytes - static_cast<size_t>(piece) * kPieceSize);
}

// piece_pages: runs of consecutive blocks, each as two varints: zigzag(first block - (last block of
// the run before + 1)), number of blocks. A segment written in one go takes two to six bytes.

uint8_t *PutVarint(uint8_t *to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) *to++ = static_cast<uint8_t>(value | 0x80);
  *to++ = static_cast<uint8_t>(value);
  return to;
}

class PiecePagesWriter {
 public:
  explicit PiecePagesWriter(int32_t pieces)
      : bytes_(static_cast<bytea *>(palloc(VARHDRSZ + static_cast<size_t>(pieces) * 10 + 10))),
        at_(reinterpret_cast<uint8_t *>(VARDATA(bytes_))) {}

  void Add(BlockNumber block) {
    if (run_length_ > 0 && block == run_start_ + run_length_) {
      run_length_++;
      return;
    }
    FlushRun();
    run_start_ = block;
    run_length_ = 1;
  }

  bytea *Finish() {
    FlushRun();
    SET_VARSIZE(bytes_, reinterpret_cast<char *>(at_) - reinterpret_cast<char *>(bytes_));
    return bytes_;
  }

 private:
  void FlushRun() {
    if (run_length_ == 0) return;
    const int64_t gap = static_cast<int64_t>(run_start_) - expected_;
    at_ = PutVarint(at_, (static_cast<uint64_t>(gap) << 1) ^ static_cast<uint64_t>(gap >> 63));
    at_ = PutVarint(at_, run_length_);
    expected_ = static_cast<int64_t>(run_start_) + run_length_;
  }

  bytea *bytes_;
  uint8_t *at_;
  int64_t expected_ = 0;
  BlockNumber run_start_ = 0;
  uint32_t run_length_ = 0;
};

/// Walks the blocks of a segment's pieces. It is a hint: garbage gives InvalidBlockNumber or a
/// wrong block, nothing worse.
class PiecePagesReader {
 public:
  explicit PiecePagesReader(const bytea *pages) {
    if (pages == nullptr) return;
    at_ = reinterpret_cast<const uint8_t *>(VARDATA_ANY(pages));
    end_ = at_ + VARSIZE_ANY_EXHDR(pages);
  }

  BlockNumber Next() {
    while (run_left_ == 0) {
      uint64_t gap, length;
      if (!GetVarint(gap) || !GetVarint(length) || length == 0) return InvalidBlockNumber;
      next_ += (gap >> 1) ^ (~(gap & 1) + 1);
      run_left_ = length;
    }
    run_left_--;
    const uint64_t block = next_++;
    return block < InvalidBlockNumber ? static_cast<BlockNumber>(block) : InvalidBlockNumber;
  }

  void Skip(int32_t pieces) {
    auto left = static_cast<uint64_t>(pieces);
    while (left > 0) {
      if (Next() == InvalidBlockNumber) return;
      left--;
      const uint64_t more = Min(left, run_left_);
      next_ += more;
      run_left_ -= more;
      left -= more;
    }
  }

 private:
  bool GetVarint(uint64_t &value) {
    value = 0;
    for (int shift = 0; at_ < end_ && shift < 64; shift += 7) {
      const uint8_t byte = *at_++;
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return true;
    }
    return false;
  }

  const uint8_t *at_ = nullptr;
  const uint8_t *end_ = nullptr;
  uint64_t next_ = 0;
  uint64_t run_left_ = 0;
};

/// The TOAST relation's indexes, open.
struct ToastIndexes {
  Relation *indexes;
  int count;
  int valid;  // position of one that can be searched
};

ToastIndexes OpenIndexes(Relation toast, LOCKMODE lock) {
  ToastIndexes result;
  result.valid = toast_open_indexes(toast, lock, &result.indexes, &result.count);
  return result;
}

/// A snapshot under which every piece counts that is not known to be dead, whoever deleted it: the
/// right to read a value comes from the directory row that names it. snapshot: makes "snapshot too
/// old" checks work; may be NULL.
SnapshotData ToastSnapshot([[maybe_unused]] Snapshot snapshot) {
  SnapshotData result = {};
  result.snapshot_type = SNAPSHOT_TOAST;
#if TSEXT_SNAPSHOTS_GROW_OLD
  if (snapshot != nullptr) {
    result.lsn = snapshot->lsn;
    result.whenTaken = snapshot->whenTaken;
  }
#endif
  return result;
}

/// A tuple with one piece; `scratch` has kPieceSize + VARHDRSZ bytes.
HeapTuple FormPiece(TupleDesc descriptor, Oid value_id, int32_t piece, const std::byte *data,
                    size_t length, char *scratch) {
  SET_VARSIZE(scratch, length + VARHDRSZ);
  memcpy(scratch + VARHDRSZ, data, length);
  Datum values[3] = {ObjectIdGetDatum(value_id), Int32GetDatum(piece), PointerGetDatum(scratch)};
  bool nulls[3] = {false, false, false};
  return heap_form_tuple(descriptor, values, nulls);
}

void InsertIndexEntries(Relation toast, const ToastIndexes &indexes, Oid value_id, int32_t piece,
                        ItemPointer tid) {
  Datum values[2] = {ObjectIdGetDatum(value_id), Int32GetDatum(piece)};
  bool nulls[2] = {false, false};
  for (int i = 0; i < indexes.count; i++) {
    Relation index = indexes.indexes[i];
    if (index->rd_index->indisready)
      index_insert(index, values, nulls, tid, toast,
                   index->rd_index->indisunique ? UNIQUE_CHECK_YES : UNIQUE_CHECK_NO, false,
                   nullptr);
  }
}

/// Writes pieces [first, first + count) and notes their blocks. `slots` are heap tuple slots.
void InsertBatch(Relation toast, const ToastIndexes &indexes, const SegmentRow *row,
                 const std::byte *data, int32_t first, int count, CommandId cid,
                 BulkInsertState bulk, TupleTableSlot **slots, char *scratch,
                 PiecePagesWriter &pages) {
  const TupleDesc descriptor = RelationGetDescr(toast);
  const auto nbytes = static_cast<size_t>(row->nbytes);
  for (int i = 0; i < count; i++) {
    const int32_t piece = first + i;
    HeapTuple tuple =
        FormPiece(descriptor, row->value_id, piece, data + static_cast<size_t>(piece) * kPieceSize,
                  PieceLength(nbytes, piece), scratch);
    ExecStoreHeapTuple(tuple, slots[i], true);
  }
  if (XLogLogicalInfoActive()) {
    // heap_multi_insert does not know HEAP_INSERT_NO_LOGICAL.
    for (int i = 0; i < count; i++) {
      HeapTuple tuple = ExecFetchSlotHeapTuple(slots[i], false, nullptr);
      heap_insert(toast, tuple, cid, HEAP_INSERT_NO_LOGICAL, bulk);
      slots[i]->tts_tid = tuple->t_self;
    }
  } else {
    heap_multi_insert(toast, slots, count, cid, 0, bulk);
  }
  StopPoint("store_pieces_without_index");
  for (int i = 0; i < count; i++) {
    InsertIndexEntries(toast, indexes, row->value_id, first + i, &slots[i]->tts_tid);
    pages.Add(ItemPointerGetBlockNumber(&slots[i]->tts_tid));
    ExecClearTuple(slots[i]);
  }
}

/// The payload of the piece in `tuple`, when it is piece `piece` of value `value_id` and lies
/// within its `length` bytes; *size is its length. Trusts nothing on the page.
const char *PiecePayload(const HeapTupleHeaderData *tuple, uint32_t length, Oid value_id,
                         int32_t piece, size_t *size) {
  const size_t start = tuple->t_hoff;
  if (length < start + kPieceHeader + VARHDRSZ) return nullptr;
  const char *data = reinterpret_cast<const char *>(tuple) + start;
  Oid chunk_id;
  int32_t chunk_seq;
  memcpy(&chunk_id, data, sizeof chunk_id);
  memcpy(&chunk_seq, data + sizeof chunk_id, sizeof chunk_seq);
  if (chunk_id != value_id || chunk_seq != piece) return nullptr;
  const char *varlena = data + kPieceHeader;
  if (!VARATT_IS_4B_U(varlena)) return nullptr;
  const size_t varlena_size = VARSIZE_4B(varlena);
  if (varlena_size < VARHDRSZ || varlena_size > length - start - kPieceHeader) return nullptr;
  *size = varlena_size - VARHDRSZ;
  return varlena + VARHDRSZ;
}

/// True unless the tuple's inserter aborted. After a crash pieces may lie about that have no index
/// entry, so their value id may have been given out again; everything else that could bear this
/// value id is the value itself. Sets the hint bit as visibility checks do. Needs a share lock.
bool IsInserted(HeapTupleHeader tuple, Buffer buffer) {
  if (HeapTupleHeaderXminCommitted(tuple)) return true;
  if (HeapTupleHeaderXminInvalid(tuple)) return false;
  const TransactionId xmin = HeapTupleHeaderGetRawXmin(tuple);
  if (TransactionIdIsCurrentTransactionId(xmin)) return true;
  if (!TransactionIdDidCommit(xmin)) return false;
  HeapTupleSetHintBits(tuple, buffer, HEAP_XMIN_COMMITTED, xmin);
  return true;
}

enum class Piece { kCopied, kNotThere, kWrongLength };

/// The part of a piece that a reader wants.
struct PieceRange {
  int32_t piece;
  size_t expected_length;  // of the whole piece
  size_t from, to;         // within the piece
  std::byte *out;
};

Piece CopyPiece(const char *payload, size_t length, const PieceRange &range) {
  if (length != range.expected_length) return Piece::kWrongLength;
  memcpy(range.out, payload + range.from, range.to - range.from);
  return Piece::kCopied;
}

/// Copies a piece from the page where the hint says it is.
Piece CopyFromPage(Relation toast, BlockNumber block, Oid value_id, const PieceRange &range,
                   BufferAccessStrategy strategy) {
  const Buffer buffer = ReadBufferExtended(toast, MAIN_FORKNUM, block, RBM_NORMAL, strategy);
  LockBuffer(buffer, BUFFER_LOCK_SHARE);
  const Page page = BufferGetPage(buffer);
  const char *payload = nullptr;
  size_t length = 0;
  if (!PageIsNew(page)) {
    const OffsetNumber items = PageGetMaxOffsetNumber(page);
    for (OffsetNumber i = FirstOffsetNumber; i <= items && payload == nullptr; i++) {
      const ItemId item = PageGetItemId(page, i);
      if (!ItemIdIsNormal(item)) continue;
      auto *tuple = reinterpret_cast<HeapTupleHeader>(PageGetItem(page, item));
      const char *found =
          PiecePayload(tuple, ItemIdGetLength(item), value_id, range.piece, &length);
      if (found != nullptr && IsInserted(tuple, buffer)) payload = found;
    }
  }
  // The pin alone keeps a tuple that has been found valid where it is.
  LockBuffer(buffer, BUFFER_LOCK_UNLOCK);
  const Piece result = payload == nullptr ? Piece::kNotThere : CopyPiece(payload, length, range);
  ReleaseBuffer(buffer);
  return result;
}

/// What is asked of a segment, cut into pieces.
struct ReadRequest {
  const SegmentRow *row;
  size_t offset, size;
  std::byte *out;

  int32_t first_piece() const { return static_cast<int32_t>(offset / kPieceSize); }
  int32_t last_piece() const { return static_cast<int32_t>((offset + size - 1) / kPieceSize); }
  PieceRange Range(int32_t piece) const {
    const size_t start = static_cast<size_t>(piece) * kPieceSize;
    const size_t length = PieceLength(static_cast<size_t>(row->nbytes), piece);
    const size_t from = offset > start ? offset - start : 0;
    const size_t to = Min(length, offset + size - start);
    return {piece, length, from, to, out + (start + from - offset)};
  }
};

/// Reads pieces [first, last_piece()] through the TOAST index.
Status ReadByIndex(Relation toast, const ReadRequest &request, Snapshot snapshot, int32_t first) {
  const int32_t last = request.last_piece();
  const Oid value_id = request.row->value_id;
  const ToastIndexes indexes = OpenIndexes(toast, AccessShareLock);
  SnapshotData toast_snapshot = ToastSnapshot(snapshot);
  ScanKeyData keys[3];
  ScanKeyInit(&keys[0], 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(value_id));
  ScanKeyInit(&keys[1], 2, BTGreaterEqualStrategyNumber, F_INT4GE, Int32GetDatum(first));
  ScanKeyInit(&keys[2], 2, BTLessEqualStrategyNumber, F_INT4LE, Int32GetDatum(last));
  SysScanDesc scan = systable_beginscan_ordered(toast, indexes.indexes[indexes.valid],
                                                &toast_snapshot, lengthof(keys), keys);
  Piece result = Piece::kCopied;
  int32_t piece = first;
  for (; piece <= last && result == Piece::kCopied; piece++) {
    CHECK_FOR_INTERRUPTS();
    HeapTuple tuple = systable_getnext_ordered(scan, ForwardScanDirection);
    size_t length = 0;
    const char *payload = tuple == nullptr
                              ? nullptr
                              : PiecePayload(tuple->t_data, tuple->t_len, value_id, piece, &length);
    result =
        payload == nullptr ? Piece::kNotThere : CopyPiece(payload, length, request.Range(piece));
  }
  systable_endscan_ordered(scan);
  toast_close_indexes(indexes.indexes, indexes.count, AccessShareLock);
  switch (result) {
    case Piece::kNotThere:
      return Status::Corrupt("a piece is missing");
    case Piece::kWrongLength:
      return Status::Corrupt("a piece has a wrong length");
    case Piece::kCopied:
      break;
  }
  return Status::Ok();
}

/// Announces the blocks a read is about to fetch, some way ahead of it.
class Prefetcher {
 public:
  Prefetcher(Relation toast, const bytea *pages, int32_t first, int32_t last, BlockNumber blocks)
      : toast_(toast), pages_(pages), blocks_(blocks), left_(last - first + 1) {
    distance_ = left_ > 1 ? get_tablespace_io_concurrency(toast->rd_rel->reltablespace) : 0;
    pages_.Skip(first);
    for (int i = 0; i < distance_; i++) Step();
  }
  /// Called once a piece.
  void Step() {
    if (distance_ == 0 || left_ == 0) return;
    left_--;
    const BlockNumber block = pages_.Next();
    if (block < blocks_) PrefetchBuffer(toast_, MAIN_FORKNUM, block);
  }

 private:
  Relation toast_;
  PiecePagesReader pages_;
  BlockNumber blocks_;
  int32_t left_;
  int distance_;
};

}  // namespace

Oid StoreNewValueId(Relation toast) {
  const ToastIndexes indexes = OpenIndexes(toast, RowExclusiveLock);
  const Oid value_id =
      GetNewOidWithIndex(toast, RelationGetRelid(indexes.indexes[indexes.valid]), 1);
  toast_close_indexes(indexes.indexes, indexes.count, NoLock);
  return value_id;
}

void StoreAppend(Relation toast, SegmentRow *row, const std::byte *data, size_t size,
                 CommandId cid) {
  Assert(size > 0 && OidIsValid(row->value_id));
  row->nbytes = static_cast<int64_t>(size);
  row->npieces = PieceCount(size);
  PiecePagesWriter pages(row->npieces);

  (void)GetCurrentCommandId(true);
  MemoryContext batch_context =
      AllocSetContextCreate(CurrentMemoryContext, "tsext store append", ALLOCSET_DEFAULT_SIZES);
  MemoryContext old_context = MemoryContextSwitchTo(batch_context);
  const ToastIndexes indexes = OpenIndexes(toast, RowExclusiveLock);
  BulkInsertState bulk = GetBulkInsertState();
  TupleTableSlot *slots[kInsertBatch];
  const int slot_count = Min(kInsertBatch, row->npieces);
  for (int i = 0; i < slot_count; i++)
    slots[i] = MakeSingleTupleTableSlot(RelationGetDescr(toast), &TTSOpsHeapTuple);
  auto *scratch = static_cast<char *>(palloc(kPieceSize + VARHDRSZ));
  MemoryContext tuple_context =
      AllocSetContextCreate(batch_context, "tsext store pieces", ALLOCSET_DEFAULT_SIZES);

  MemoryContextSwitchTo(tuple_context);
  for (int32_t piece = 0; piece < row->npieces; piece += kInsertBatch) {
    const int count = Min(kInsertBatch, row->npieces - piece);
    InsertBatch(toast, indexes, row, data, piece, count, cid, bulk, slots, scratch, pages);
    MemoryContextReset(tuple_context);
  }
  MemoryContextSwitchTo(old_context);

  for (int i = 0; i < slot_count; i++) ExecDropSingleTupleTableSlot(slots[i]);
  FreeBulkInsertState(bulk);
  toast_close_indexes(indexes.indexes, indexes.count, NoLock);
  MemoryContextDelete(batch_context);
  row->piece_pages = pages.Finish();
}

Status StoreTryRead(Relation toast, const SegmentRow *row, Snapshot snapshot, size_t offset,
                    size_t size, std::byte *out, BufferAccessStrategy strategy) {
  if (size == 0) return Status::Ok();
  const auto nbytes = static_cast<uint64_t>(row->nbytes);
  if (row->nbytes <= 0 || row->npieces != PieceCount(nbytes) || offset > nbytes ||
      size > nbytes - offset)
    return Status::Corrupt("a read reaches beyond the end of the segment");

  const ReadRequest request = {row, offset, size, out};
  const int32_t first = request.first_piece();
  const int32_t last = request.last_piece();
  const BlockNumber blocks = RelationGetNumberOfBlocks(toast);
  PiecePagesReader pages(row->piece_pages);
  pages.Skip(first);
  Prefetcher prefetcher(toast, row->piece_pages, first, last, blocks);
  for (int32_t piece = first; piece <= last; piece++) {
    CHECK_FOR_INTERRUPTS();
    prefetcher.Step();
    const BlockNumber block = pages.Next();
    // A hint may be out of date: VACUUM FULL of the TOAST table moves pieces.
    if (block >= blocks ||
        CopyFromPage(toast, block, row->value_id, request.Range(piece), strategy) != Piece::kCopied)
      return ReadByIndex(toast, request, snapshot, piece);
  }
  return Status::Ok();
}

void StoreRead(Relation toast, const SegmentRow *row, Snapshot snapshot, size_t offset, size_t size,
               std::byte *out) {
  const Status status = StoreTryRead(toast, row, snapshot, offset, size, out, nullptr);
  if (status.ok()) return;
  ereport(ERROR, (errcode(ERRCODE_DATA_CORRUPTED),
                  errmsg("segment %d in relation \"%s\" is damaged", row->seg,
                         RelationGetRelationName(toast)),
                  errdetail("The store says: %s.", status.message()),
                  errhint("Restore the table from a backup, or drop the chunk.")));
}

void StoreFree(Relation toast, const SegmentRow *row, CommandId cid) {
  (void)GetCurrentCommandId(true);
  const ToastIndexes indexes = OpenIndexes(toast, RowExclusiveLock);
  SnapshotData snapshot = ToastSnapshot(nullptr);
  ScanKeyData key;
  ScanKeyInit(&key, 1, BTEqualStrategyNumber, F_OIDEQ, ObjectIdGetDatum(row->value_id));
  SysScanDesc scan =
      systable_beginscan_ordered(toast, indexes.indexes[indexes.valid], &snapshot, 1, &key);
  HeapTuple tuple;
  while ((tuple = systable_getnext_ordered(scan, ForwardScanDirection)) != nullptr) {
    CHECK_FOR_INTERRUPTS();
    TM_FailureData failure;
    const TM_Result result =
        heap_delete(toast, &tuple->t_self, cid, InvalidSnapshot, false, &failure, false);
    if (result != TM_Ok && result != TM_SelfModified)
      elog(ERROR, "pieces of segment %d in relation \"%s\" are being deleted by someone else",
           row->seg, RelationGetRelationName(toast));
  }
  systable_endscan_ordered(scan);
  toast_close_indexes(indexes.indexes, indexes.count, NoLock);
}

bool RemoveSegment(Relation toast, const SegmentRow *row) {
  if (!DeleteSegment(row, GetCurrentCommandId(true))) return false;
  StoreFree(toast, row, GetCurrentCommandId(true));
  AddStoreTotal(RelationGetRelid(toast), -row->nrows, -row->nbytes, -1, kTimeMaximum, kTimeMinimum);
  return true;
}

}  // namespace tsext::pg
