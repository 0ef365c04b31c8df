#include "tsext/segment.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "core/segment/test_columns.hpp"

namespace tsext {
namespace {

using test::MakeColumn;
using test::NullPattern;
using test::OwnedColumn;
using test::Shape;

/// Reads the vector that `vector` holds once more as codes, if the block has a dictionary.
void ExpectCodes(BlockReader &reader, uint32_t index, const Vector &vector) {
  static CodeVector codes;
  const std::span<const ByteView> dictionary = reader.Dictionary();
  const Status read = reader.ReadCodes(index, codes);
  if (dictionary.empty()) {
    ASSERT_EQ(read.code(), StatusCode::kInvalid);
    return;
  }
  ASSERT_TRUE(read.ok()) << read.message();
  ASSERT_EQ(codes.count, vector.count);
  ASSERT_EQ(codes.any_null, vector.any_null);
  for (uint32_t row = 0; row < codes.count; row++) {
    ASSERT_EQ(codes.IsNull(row), vector.IsNull(row)) << row;
    ASSERT_LT(codes.codes[row], dictionary.size()) << row;
    const ByteView value = codes.IsNull(row) ? ByteView{} : dictionary[codes.codes[row]];
    ASSERT_EQ(test::TextOf(value), test::TextOf(vector.bytes[row])) << row;
    if (codes.IsNull(row)) {
      ASSERT_EQ(codes.codes[row], 0u) << row;
    }
  }
}

/// Compares the runs of an open block, if it has any, with the values of `column`.
void ExpectRuns(BlockReader &reader, const OwnedColumn &column, bool *has_runs) {
  std::pmr::vector<ValueRun> runs;
  const Status read = reader.ReadRuns(runs);
  ASSERT_TRUE(read.ok()) << read.message();
  *has_runs = !runs.empty();
  if (runs.empty()) return;
  ASSERT_EQ(runs[0].begin, 0u);
  auto vector = std::make_unique<Vector>(std::pmr::get_default_resource());
  const std::span<const ByteView> dictionary = reader.Dictionary();
  for (size_t i = 0; i < runs.size(); i++) {
    const uint32_t end = i + 1 < runs.size() ? runs[i + 1].begin : column.count();
    ASSERT_LT(runs[i].begin, end);
    for (uint32_t row = runs[i].begin; row < end; row++) {
      ASSERT_FALSE(column.IsNull(row));
      if (vector->count == 0 || row % kVectorSize == 0 || row == runs[i].begin) {
        ASSERT_TRUE(reader.Read(row / kVectorSize, *vector).ok());
      }
      if (dictionary.empty()) {
        ASSERT_EQ(vector->integers[row % kVectorSize], runs[i].value) << row;
      } else {
        ASSERT_LT(static_cast<uint64_t>(runs[i].value), dictionary.size());
        ASSERT_EQ(test::TextOf(vector->bytes[row % kVectorSize]),
                  test::TextOf(dictionary[static_cast<size_t>(runs[i].value)]));
      }
    }
  }
}

/// Parses `segment` and compares every value of every column.
void ExpectColumns(const ByteBuffer &segment, const std::vector<OwnedColumn> &columns) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  SegmentHead head(memory);
  const Status parsed = test::ParseHead(segment, head);
  ASSERT_TRUE(parsed.ok()) << parsed.message();
  ASSERT_EQ(head.segment_size(), segment.size());
  ASSERT_EQ(head.columns().size(), columns.size());
  ASSERT_EQ(head.row_count(), columns[0].count());
  BlockReader reader(memory);
  auto vector = std::make_unique<Vector>(memory);
  for (uint32_t c = 0; c < columns.size(); c++) {
    const ColumnFooter &footer = head.columns()[c];
    ASSERT_EQ(footer.type, columns[c].type);
    ASSERT_EQ(footer.offset % 8, 0u);
    const Status opened = reader.Open(head, c, test::BlockOf(segment, footer));
    ASSERT_TRUE(opened.ok()) << opened.message();
    uint32_t at = 0;
    for (uint32_t v = 0; v < head.vector_count(); v++) {
      const Status read = reader.Read(v, *vector);
      ASSERT_TRUE(read.ok()) << read.message();
      ASSERT_EQ(vector->count, head.VectorRows(v));
      ASSERT_EQ(vector->type, columns[c].type);
      bool any_null = false, all_null = true;
      for (uint32_t row = 0; row < vector->count; row++, at++) {
        any_null = any_null || columns[c].IsNull(at);
        all_null = all_null && columns[c].IsNull(at);
        ASSERT_TRUE(columns[c].Matches(at, *vector, row))
            << "column " << c << " row " << at << " by " << reader.EncodingName();
      }
      ASSERT_NO_FATAL_FAILURE(ExpectCodes(reader, v, *vector));
      EXPECT_EQ(vector->any_null, any_null);
      EXPECT_EQ(head.Vector(c, v).any_null, any_null);
      EXPECT_EQ(head.Vector(c, v).all_null, all_null);
    }
    bool has_runs;
    ASSERT_NO_FATAL_FAILURE(ExpectRuns(reader, columns[c], &has_runs));
  }
}

ByteBuffer WriteOk(std::vector<OwnedColumn> &columns, Level level = Level::kHot,
                   int16_t time_attribute = 0) {
  ByteBuffer segment;
  const Status status = test::Write(columns, level, time_attribute, segment);
  EXPECT_TRUE(status.ok()) << status.message();
  return segment;
}

class RoundTrip : public testing::TestWithParam<std::tuple<int, uint32_t>> {};

TEST_P(RoundTrip, EveryShapeNullPatternAndLevel) {
  const PhysicalType type = static_cast<PhysicalType>(std::get<0>(GetParam()));
  const uint32_t count = std::get<1>(GetParam());
  for (Level level : {Level::kHot, Level::kCold}) {
    for (Shape shape : test::kShapes) {
      for (NullPattern pattern : test::kNullPatterns) {
        SCOPED_TRACE(testing::Message() << "level " << int(level) << " shape " << int(shape)
                                        << " nulls " << int(pattern));
        std::vector<OwnedColumn> columns;
        columns.push_back(MakeColumn(type, count, shape, pattern));
        ExpectColumns(WriteOk(columns, level), columns);
        if (HasFatalFailure()) return;
      }
    }
  }
}

std::string RoundTripName(const testing::TestParamInfo<RoundTrip::ParamType> &info) {
  return "Type" + std::to_string(std::get<0>(info.param)) + "Rows" +
         std::to_string(std::get<1>(info.param));
}

INSTANTIATE_TEST_SUITE_P(Sizes, RoundTrip,
                         testing::Combine(testing::Range(1, 13),
                                          testing::Values(1u, 2u, 1023u, 1024u, 1025u, 5000u,
                                                          kMaxSegmentRows)),
                         RoundTripName);

/// Values that repeat become codes in every bytes class, whatever the NULLs; others do not.
TEST(Segment, RepeatedBytesHaveCodes) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  for (int type = 1; type <= 12; type++) {
    for (Level level : {Level::kHot, Level::kCold}) {
      for (NullPattern pattern : test::kNullPatterns) {
        SCOPED_TRACE(testing::Message() << "type " << type << " nulls " << int(pattern));
        std::vector<OwnedColumn> columns;
        columns.push_back(
            MakeColumn(static_cast<PhysicalType>(type), 5000, Shape::kFewDistinct, pattern));
        const ByteBuffer segment = WriteOk(columns, level);
        SegmentHead head(memory);
        ASSERT_TRUE(test::ParseHead(segment, head).ok());
        BlockReader reader(memory);
        EXPECT_TRUE(reader.Dictionary().empty());  // nothing is open
        static CodeVector codes;
        EXPECT_EQ(reader.ReadCodes(0, codes).code(), StatusCode::kInvalid);
        ASSERT_TRUE(reader.Open(head, 0, test::BlockOf(segment, head.columns()[0])).ok());
        const bool has_codes = IsBytes(columns[0].type) && pattern != NullPattern::kAll &&
                               columns[0].type != PhysicalType::kNumeric;
        if (columns[0].type != PhysicalType::kNumeric) {
          EXPECT_EQ(!reader.Dictionary().empty(), has_codes);
        }
        if (has_codes) {
          EXPECT_LE(reader.Dictionary().size(), 13u);
          EXPECT_TRUE(reader.ReadCodes(4, codes).ok());
          EXPECT_EQ(reader.ReadCodes(5, codes).code(), StatusCode::kInvalid);
        }
      }
    }
  }
}

/// What sorts a segment comes as runs, in every class that can tell series apart.
TEST(Segment, SortedKeysHaveRuns) {
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  for (PhysicalType type : {PhysicalType::kText, PhysicalType::kUuid, PhysicalType::kInt32,
                            PhysicalType::kInt64, PhysicalType::kBool}) {
    for (NullPattern pattern : {NullPattern::kNone, NullPattern::kFew}) {
      SCOPED_TRACE(testing::Message() << "type " << int(type) << " nulls " << int(pattern));
      std::vector<OwnedColumn> columns;
      columns.push_back(MakeColumn(type, 20000, Shape::kFewDistinct, pattern));
      std::sort(columns[0].integers.begin(), columns[0].integers.end());
      std::sort(columns[0].strings.begin(), columns[0].strings.end());
      const ByteBuffer segment = WriteOk(columns, Level::kHot);
      SegmentHead head(memory);
      ASSERT_TRUE(test::ParseHead(segment, head).ok());
      BlockReader reader(memory);
      std::pmr::vector<ValueRun> runs;
      EXPECT_EQ(reader.ReadRuns(runs).code(), StatusCode::kInvalid);  // nothing is open
      ASSERT_TRUE(reader.Open(head, 0, test::BlockOf(segment, head.columns()[0])).ok());
      bool has_runs = false;
      ASSERT_NO_FATAL_FAILURE(ExpectRuns(reader, columns[0], &has_runs));
      EXPECT_EQ(has_runs, pattern == NullPattern::kNone);
    }
  }
}

TEST(Segment, ManyColumns) {
  std::vector<OwnedColumn> columns;
  for (uint32_t i = 0; i < 1600; i++)
    columns.push_back(MakeColumn(static_cast<PhysicalType>(i % 12 + 1), 1500, test::kShapes[i % 4],
                                 test::kNullPatterns[i % 7], i));
  for (Level level : {Level::kHot, Level::kCold}) ExpectColumns(WriteOk(columns, level), columns);
}

/// The same column given as codes into a dictionary with unused and repeated entries.
TEST(Segment, CodesAndBytesGiveTheSameSegment) {
  for (PhysicalType type : {PhysicalType::kNumeric, PhysicalType::kText, PhysicalType::kVarlena,
                            PhysicalType::kUuid, PhysicalType::kFixed}) {
    for (Shape shape : test::kShapes) {
      for (NullPattern pattern : test::kNullPatterns) {
        std::vector<OwnedColumn> columns;
        columns.push_back(MakeColumn(type, 3000, shape, pattern));
        const ByteBuffer expected = WriteOk(columns);

        std::vector<std::string> words = {"unused, and of no width that fits"};
        std::vector<uint32_t> codes;
        for (uint32_t row = 0; row < 3000; row++) {
          codes.push_back(columns[0].IsNull(row) ? UINT32_MAX
                                                 : static_cast<uint32_t>(words.size()));
          words.push_back(columns[0].strings[row]);
        }
        std::vector<ByteView> dictionary;
        for (const std::string &word : words) dictionary.push_back(test::ViewOf(word));
        SegmentColumn column{1, columns[0].View()};
        column.values.bytes = {};
        column.values.codes = codes;
        column.values.dictionary = dictionary;
        SegmentInput input;
        input.value_id = 4711;
        input.attribute_count = 1;
        input.columns = {&column, 1};
        ByteBuffer segment;
        ASSERT_TRUE(WriteSegment(input, segment).ok());
        ExpectColumns(segment, columns);
        // The estimate of distinct values differs (it is exact for codes), the block must not.
        SegmentHead left(std::pmr::get_default_resource()), right(std::pmr::get_default_resource());
        ASSERT_TRUE(test::ParseHead(expected, left).ok());
        ASSERT_TRUE(test::ParseHead(segment, right).ok());
        EXPECT_EQ(left.columns()[0].checksum, right.columns()[0].checksum);
        EXPECT_EQ(left.columns()[0].length, right.columns()[0].length);
      }
    }
  }
}

TEST(Segment, ColumnOfNullsNeedsNoValues) {
  for (int type = 1; type <= 12; type++) {
    std::vector<OwnedColumn> columns;
    columns.push_back(
        MakeColumn(static_cast<PhysicalType>(type), 1500, Shape::kDistinct, NullPattern::kAll));
    SegmentColumn column{1, columns[0].View()};
    column.values.integers = {};
    column.values.doubles = {};
    column.values.floats = {};
    column.values.bytes = {};
    SegmentInput input;
    input.attribute_count = 1;
    input.time_attribute = IsInteger(columns[0].type) ? 1 : 0;
    input.columns = {&column, 1};
    ByteBuffer segment;
    ASSERT_TRUE(WriteSegment(input, segment).ok());
    ExpectColumns(segment, columns);
  }
}

TEST(Segment, HeaderFieldsComeBack) {
  std::vector<OwnedColumn> columns;
  for (int i = 0; i < 4; i++)
    columns.push_back(MakeColumn(PhysicalType::kInt64, 1025, Shape::kDistinct, NullPattern::kNone));
  std::vector<SegmentColumn> input_columns;
  const int16_t attributes[] = {2, 3, 7, 1599};
  for (size_t i = 0; i < 4; i++) input_columns.push_back({attributes[i], columns[i].View()});
  const int16_t sort_key[] = {7, 2};
  const std::string sketch = "any bytes";
  const SegmentSection sections[] = {{SegmentSection::kFirstFreeType, {}},
                                     {900, std::as_bytes(std::span(sketch))}};
  SegmentInput input;
  input.value_id = 0xFFFFFFFE;
  input.attribute_count = 1600;
  input.time_attribute = 2;
  input.level = Level::kCold;
  input.columns = input_columns;
  input.sort_key = sort_key;
  input.sections = sections;
  ByteBuffer segment;
  ASSERT_TRUE(WriteSegment(input, segment).ok());

  SegmentHead head(std::pmr::get_default_resource());
  ASSERT_TRUE(test::ParseHead(segment, head).ok());
  EXPECT_EQ(head.value_id(), 0xFFFFFFFE);
  EXPECT_EQ(head.row_count(), 1025u);
  EXPECT_EQ(head.vector_count(), 2u);
  EXPECT_EQ(head.VectorRows(0), 1024u);
  EXPECT_EQ(head.VectorRows(1), 1u);
  EXPECT_EQ(head.attribute_count(), 1600);
  EXPECT_EQ(head.time_attribute(), 2);
  EXPECT_EQ(head.level(), Level::kCold);
  EXPECT_EQ(std::vector<int16_t>(head.sort_key().begin(), head.sort_key().end()),
            (std::vector<int16_t>{7, 2}));
  EXPECT_EQ(head.FindColumn(2), 0);
  EXPECT_EQ(head.FindColumn(7), 2);
  EXPECT_EQ(head.FindColumn(1599), 3);
  for (int missing : {0, 1, 4, 1598, 1600, -1})
    EXPECT_EQ(head.FindColumn(static_cast<int16_t>(missing)), -1);
  EXPECT_EQ(head.Section(900).size(), sketch.size());
  EXPECT_EQ(std::memcmp(head.Section(900).data(), sketch.data(), sketch.size()), 0);
  EXPECT_TRUE(head.Section(901).empty());
}

TEST(Segment, ConstantColumnsCostNextToNothing) {
  std::vector<OwnedColumn> columns;
  for (int type = 1; type <= 12; type++)
    columns.push_back(MakeColumn(static_cast<PhysicalType>(type), kMaxSegmentRows, Shape::kConstant,
                                 NullPattern::kNone));
  const ByteBuffer segment = WriteOk(columns);
  EXPECT_LT(segment.size(), 12 * 200u);
}

TEST(Segment, WrongInputIsRefused) {
  OwnedColumn column = MakeColumn(PhysicalType::kInt64, 70, Shape::kDistinct, NullPattern::kFew);
  const auto code = [](const SegmentInput &input) {
    ByteBuffer out;
    return WriteSegment(input, out).code();
  };
  SegmentColumn good{1, column.View()};
  SegmentInput input;
  input.attribute_count = 3;
  input.columns = {&good, 1};
  ASSERT_EQ(code(input), StatusCode::kOk);

  const auto refuses = [&](auto change) {
    SegmentInput changed = input;
    SegmentColumn changed_columns[2] = {good, good};
    changed_columns[1].attribute = 2;
    changed.columns = changed_columns;
    change(changed, changed_columns);
    return code(changed) == StatusCode::kInvalid;
  };
  const int16_t missing_key[] = {3};
  const SegmentSection reserved[] = {{1, {}}};
  const SegmentSection twice[] = {{70, {}}, {70, {}}};
  uint64_t nulls_past_end[] = {0, ~uint64_t{0}};
  EXPECT_FALSE(refuses([](SegmentInput &, SegmentColumn *) {}));
  EXPECT_TRUE(refuses([](SegmentInput &i, SegmentColumn *) { i.columns = {}; }));
  EXPECT_TRUE(refuses([](SegmentInput &i, SegmentColumn *) { i.attribute_count = 1; }));
  EXPECT_TRUE(refuses([](SegmentInput &i, SegmentColumn *) { i.attribute_count = 1601; }));
  EXPECT_TRUE(refuses([](SegmentInput &i, SegmentColumn *) { i.level = Level{3}; }));
  EXPECT_TRUE(refuses([](SegmentInput &i, SegmentColumn *) { i.time_attribute = 3; }));
  EXPECT_TRUE(refuses([&](SegmentInput &i, SegmentColumn *) { i.sort_key = missing_key; }));
  EXPECT_TRUE(refuses([&](SegmentInput &i, SegmentColumn *) { i.sections = reserved; }));
  EXPECT_TRUE(refuses([&](SegmentInput &i, SegmentColumn *) { i.sections = twice; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) { c[1].attribute = 1; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) { c[0].attribute = 0; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) { c[1].values.count = 69; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) { c[1].values.width = 8; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) { c[1].values.integers = {}; }));
  EXPECT_TRUE(
      refuses([](SegmentInput &, SegmentColumn *c) { c[1].values.type = PhysicalType{13}; }));
  EXPECT_TRUE(
      refuses([&](SegmentInput &, SegmentColumn *c) { c[1].values.nulls = nulls_past_end; }));
  EXPECT_TRUE(refuses([](SegmentInput &, SegmentColumn *c) {
    c[0].values.count = c[1].values.count = 0;
    c[0].values.integers = c[1].values.integers = {};
  }));

  OwnedColumn uuid = MakeColumn(PhysicalType::kUuid, 70, Shape::kDistinct, NullPattern::kNone);
  uuid.strings[69].resize(15);
  EXPECT_TRUE(refuses([&](SegmentInput &, SegmentColumn *c) { c[1].values = uuid.View(); }));
  OwnedColumn fixed = MakeColumn(PhysicalType::kFixed, 70, Shape::kDistinct, NullPattern::kNone);
  EXPECT_TRUE(refuses([&](SegmentInput &, SegmentColumn *c) {
    c[1].values = fixed.View();
    c[1].values.width = 0;
  }));
  const std::vector<uint32_t> codes(70, 1);
  const ByteView word = test::ViewOf(fixed.strings[0]);
  EXPECT_TRUE(refuses([&](SegmentInput &, SegmentColumn *c) {
    c[1].values = fixed.View();
    c[1].values.codes = codes;
    c[1].values.dictionary = {&word, 1};
  }));
}

TEST(Segment, OneReaderOpensManyBlocksAndRefusesOthers) {
  std::vector<OwnedColumn> columns;
  for (int type = 1; type <= 12; type++)
    columns.push_back(
        MakeColumn(static_cast<PhysicalType>(type), 2000, Shape::kFewDistinct, NullPattern::kFew));
  const ByteBuffer segment = WriteOk(columns);
  std::pmr::memory_resource *memory = std::pmr::get_default_resource();
  SegmentHead head(memory);
  ASSERT_TRUE(test::ParseHead(segment, head).ok());
  BlockReader reader(memory);
  auto vector = std::make_unique<Vector>(memory);
  EXPECT_EQ(reader.Read(0, *vector).code(), StatusCode::kInvalid);  // nothing is open
  for (uint32_t c = 0; c < 12; c++) {
    const ByteSpan block = test::BlockOf(segment, head.columns()[c]);
    ASSERT_TRUE(reader.Open(head, c, block).ok());
    // In any order, and again.
    for (uint32_t v : {1u, 0u, 1u}) {
      ASSERT_TRUE(reader.Read(v, *vector).ok());
      for (uint32_t row = 0; row < vector->count; row++)
        ASSERT_TRUE(columns[c].Matches(v * kVectorSize + row, *vector, row));
    }
    EXPECT_EQ(reader.Read(2, *vector).code(), StatusCode::kInvalid);
    EXPECT_EQ(reader.Open(head, c, block.first(block.size() - 1)).code(), StatusCode::kCorrupt);
    EXPECT_EQ(reader.Open(head, (c + 6) % 12, block).code(), StatusCode::kCorrupt);
    EXPECT_EQ(reader.Read(0, *vector).code(), StatusCode::kInvalid);  // the failed Open closed it
  }
  EXPECT_EQ(reader.Open(head, 12, {}).code(), StatusCode::kInvalid);
}

/// Values of a vector stay where they are while other vectors are read into other Vectors.
TEST(Segment, DecodedBytesOutliveTheNextRead) {
  for (Level level : {Level::kHot, Level::kCold}) {
    for (PhysicalType type :
         {PhysicalType::kNumeric, PhysicalType::kText, PhysicalType::kUuid, PhysicalType::kFixed}) {
      for (NullPattern pattern :
           {NullPattern::kNone, NullPattern::kFew, NullPattern::kFirstHalf, NullPattern::kMost}) {
        std::vector<OwnedColumn> columns;
        columns.push_back(MakeColumn(type, 3000, Shape::kDistinct, pattern));
        const ByteBuffer segment = WriteOk(columns, level);
        std::pmr::memory_resource *memory = std::pmr::get_default_resource();
        SegmentHead head(memory);
        ASSERT_TRUE(test::ParseHead(segment, head).ok());
        BlockReader reader(memory);
        ASSERT_TRUE(reader.Open(head, 0, test::BlockOf(segment, head.columns()[0])).ok());
        auto first = std::make_unique<Vector>(memory), second = std::make_unique<Vector>(memory);
        ASSERT_TRUE(reader.Read(1, *first).ok());
        ASSERT_TRUE(reader.Read(2, *second).ok());
        ASSERT_TRUE(reader.Read(0, *second).ok());
        for (uint32_t row = 0; row < first->count; row++)
          ASSERT_TRUE(columns[0].Matches(kVectorSize + row, *first, row));
      }
    }
  }
}

}  // namespace
}  // namespace tsext
