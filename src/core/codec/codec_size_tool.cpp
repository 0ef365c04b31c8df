// Prints what real columns take, in bits a value, HOT and COLD, beside the size model's figures.
//
//   codec_size_tool DATA_DIRECTORY MODEL.tsv [TSBS.csv]
//
// DATA_DIRECTORY and MODEL.tsv are the developers' data files and model; TSBS.csv is made by
// bench/tsgen.cpp with --hosts 100 --seconds 86400 --step 10 --values int. Every stream is decoded
// and compared before it counts. Exits with 1 when a column is more than 3 % above the model.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <iostream>
#include <map>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "tsext/float_codec.hpp"
#include "tsext/integer_codec.hpp"

namespace tsext {
namespace {

using Fields = std::vector<std::string>;

/// Lines of a CSV file, split at commas, without quotes, blanks around fields, or header.
std::vector<Fields> ReadCsv(const std::string &path, bool header) {
  std::ifstream file(path);
  if (!file) {
    std::cerr << "could not open file \"" << path << "\"\n";
    std::exit(2);
  }
  std::vector<Fields> rows;
  std::string line;
  if (header) std::getline(file, line);
  while (std::getline(file, line)) {
    Fields fields(1);
    for (const char c : line) {
      if (c == ',') {
        fields.emplace_back();
      } else if (c != '"' && c != '\r' && !(c == ' ' && fields.back().empty())) {
        fields.back().push_back(c);
      }
    }
    rows.push_back(std::move(fields));
  }
  return rows;
}

bool IsNull(const std::string &field) {
  return field.empty() || field == "NA";
}

/// Microseconds of "YYYY-MM-DD HH:MM:SS" in UTC.
int64_t ParseTime(const std::string &text) {
  int year = 0;
  int month = 0;
  int day = 0;
  int hour = 0;
  int minute = 0;
  int second = 0;
  if (std::sscanf(text.c_str(), "%d-%d-%d %d:%d:%d", &year, &month, &day, &hour, &minute,
                  &second) != 6) {
    std::cerr << "\"" << text << "\" is not a time\n";
    std::exit(2);
  }
  // Days since 1970-01-01 of the proleptic Gregorian calendar.
  const int64_t y = month <= 2 ? year - 1 : year;
  const int64_t era = y / 400;
  const int64_t year_of_era = y - era * 400;
  const int64_t day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  const int64_t days =
      era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
  return ((days * 24 + hour) * 60 + minute) * 60'000'000 + int64_t{second} * 1'000'000;
}

struct Column {
  std::string name;  ///< as in the model, without the count
  std::vector<double> doubles;
  std::vector<int64_t> integers;
};

std::vector<double> Doubles(const std::vector<Fields> &rows, size_t field, double divisor = 1) {
  std::vector<double> values;
  for (const Fields &row : rows)
    if (row.size() > field && !IsNull(row[field]))
      values.push_back(std::strtod(row[field].c_str(), nullptr) / divisor);
  return values;
}

std::vector<int64_t> Integers(const std::vector<Fields> &rows, size_t field, int64_t factor = 1) {
  std::vector<int64_t> values;
  values.reserve(rows.size());
  for (const Fields &row : rows)
    if (row.size() > field && !IsNull(row[field]))
      values.push_back(std::strtoll(row[field].c_str(), nullptr, 10) * factor);
  return values;
}

std::vector<int64_t> Times(const std::vector<Fields> &rows, size_t field) {
  std::vector<int64_t> values;
  values.reserve(rows.size());
  for (const Fields &row : rows) values.push_back(ParseTime(row[field]));
  return values;
}

std::vector<Column> LoadColumns(const std::string &data, const std::string &tsbs) {
  std::vector<Column> columns;
  const auto floats = [&](const std::string &name, std::vector<double> values) {
    columns.push_back({name, std::move(values), {}});
  };
  const auto integers = [&](const std::string &name, std::vector<int64_t> values) {
    columns.push_back({name, {}, std::move(values)});
  };
  const auto ett = ReadCsv(data + "/ETTh1.csv", true);
  const auto air = ReadCsv(data + "/air_quality_uci.csv", true);
  const auto appliances = ReadCsv(data + "/appliances_energy_sample.csv", true);
  const auto beijing = ReadCsv(data + "/beijing_pm25.csv", true);
  const auto eurusd = ReadCsv(data + "/eurusd_ticks_20140508.csv", false);
  const auto spy = ReadCsv(data + "/spy_trades_20131008_head100k.csv", false);
  floats("ETTh1.HUFL", Doubles(ett, 1));
  floats("ETTh1.LULL", Doubles(ett, 6));
  floats("ETTh1.MULL", Doubles(ett, 4));
  floats("ETTh1.OT", Doubles(ett, 7));
  floats("airq.AH", Doubles(air, 13));
  floats("airq.C6H6", Doubles(air, 4));
  floats("airq.RH", Doubles(air, 12));
  floats("airq.T", Doubles(air, 11));
  floats("appl.RH_1", Doubles(appliances, 4));
  floats("appl.T1", Doubles(appliances, 3));
  floats("beijing.Iws", Doubles(beijing, 10));
  floats("beijing.PRES", Doubles(beijing, 8));
  for (const char *name : {"Air-pressure", "Air-sensor", "Bird-migration", "Blockchain-tr",
                           "City-temp", "Dew-point-temp", "PM10-dust", "Stocks-UK"}) {
    floats(std::string("elf.") + name, Doubles(ReadCsv(data + "/elf/" + name + ".csv", false), 0));
  }
  floats("eurusd.ask", Doubles(eurusd, 2));
  floats("eurusd.bid", Doubles(eurusd, 1));
  const auto nab = [&](const std::string &name) {
    return ReadCsv(data + "/nab/" + name + ".csv", true);
  };
  floats("nab.TravelTime_387", Doubles(nab("TravelTime_387"), 1));
  floats("nab.ambient_temperature", Doubles(nab("ambient_temperature_system_failure"), 1));
  floats("nab.ec2_cpu_utilization_24ae8d", Doubles(nab("ec2_cpu_utilization_24ae8d"), 1));
  floats("nab.ec2_cpu_utilization_825cc2", Doubles(nab("ec2_cpu_utilization_825cc2"), 1));
  floats("nab.ec2_network_in_257a54", Doubles(nab("ec2_network_in_257a54"), 1));
  floats("nab.machine_temperature", Doubles(nab("machine_temperature_system_failure"), 1));
  floats("nab.speed_6005", Doubles(nab("speed_6005"), 1));
  floats("spy.price", Doubles(spy, 1, 10'000));

  std::vector<int64_t> tsbs_times;
  if (!tsbs.empty()) {
    // Segments are sorted by series, then time.
    auto rows = ReadCsv(tsbs, false);
    std::stable_sort(rows.begin(), rows.end(),
                     [](const Fields &a, const Fields &b) { return a[1] < b[1]; });
    floats("tsbs_cpu_usage", Doubles(rows, 11));
    tsbs_times = Times(rows, 0);
  }

  integers("appl.Appliances", Integers(appliances, 1));
  integers("beijing.TEMP", Integers(beijing, 7));
  integers("beijing.pm25", Integers(beijing, 5));
  integers("nab.Twitter_volume_AAPL", Integers(nab("Twitter_volume_AAPL"), 1));
  integers("nab.Twitter_volume_GOOG", Integers(nab("Twitter_volume_GOOG"), 1));
  integers("nab.nyc_taxi", Integers(nab("nyc_taxi"), 1));
  integers("spy.size", Integers(spy, 2));

  integers("time ETTh1.date", Times(ett, 0));
  integers("time eurusd", Integers(eurusd, 0, 1000));
  integers("time nab.TravelTime_387", Times(nab("TravelTime_387"), 0));
  integers("time nab.machine_temperature", Times(nab("machine_temperature_system_failure"), 0));
  integers("time spy", Integers(spy, 0, 1000));
  std::mt19937_64 random(1);
  std::normal_distribution<double> jitter_ms(0, 5);
  std::vector<int64_t> jittered(300'000);
  for (size_t i = 0; i < jittered.size(); i++)
    jittered[i] = (static_cast<int64_t>(i) * 10'000 + std::llround(jitter_ms(random))) * 1000;
  integers("time syn_10s_jitter_ms", std::move(jittered));
  if (!tsbs.empty()) integers("time tsbs_10s", std::move(tsbs_times));
  return columns;
}

struct Size {
  double bits_per_value = 0;
  std::string encoding;
};

/// Encodes segment by segment, decodes, compares.
template <typename T, typename Stream>
Size Measure(const std::vector<T> &values, Level level,
             void (*encode)(std::span<const T>, Level, ByteBuffer &)) {
  Size size;
  size_t bytes = 0;
  for (size_t begin = 0; begin < values.size(); begin += kMaxSegmentRows) {
    const auto segment = std::span<const T>(values).subspan(
        begin, std::min<size_t>(kMaxSegmentRows, values.size() - begin));
    ByteBuffer out;
    encode(segment, level, out);
    bytes += out.size();
    Stream reader(std::pmr::get_default_resource());
    Status status = reader.Open(out, static_cast<uint32_t>(segment.size()));
    alignas(64) T decoded[kVectorSize];
    for (size_t at = 0; status.ok() && at < segment.size(); at += kVectorSize) {
      status = reader.Decode(static_cast<uint32_t>(at / kVectorSize), decoded);
      const size_t rows = std::min<size_t>(kVectorSize, segment.size() - at);
      if (status.ok() && std::memcmp(decoded, segment.data() + at, rows * sizeof(T)) != 0)
        status = Status::Corrupt("decoding gives other values");
    }
    if (!status.ok()) {
      std::cerr << status.message() << "\n";
      std::exit(3);
    }
    if (begin == 0) size.encoding = reader.EncodingName();
  }
  size.bits_per_value = static_cast<double>(bytes) * 8 / static_cast<double>(values.size());
  return size;
}

Size MeasureColumn(const Column &column, Level level) {
  return column.integers.empty()
             ? Measure<double, FloatStream<double>>(column.doubles, level, EncodeDoubles)
             : Measure<int64_t, IntegerStream>(column.integers, level, EncodeIntegers);
}

struct Model {
  size_t count = 0;
  double hot = 0;
  double cold = 0;
};

std::map<std::string, Model> ReadModel(const std::string &path) {
  std::map<std::string, Model> model;
  std::ifstream file(path);
  std::string line;
  while (std::getline(file, line)) {
    std::vector<std::string> fields;
    std::istringstream split(line);
    for (std::string field; std::getline(split, field, '\t');) fields.push_back(field);
    const size_t paren = line.find(" (");
    if (fields.size() < 9 || paren == std::string::npos) continue;
    std::string digits;
    for (size_t i = paren + 2; i < line.size() && (std::isdigit(line[i]) || line[i] == ','); i++)
      if (line[i] != ',') digits.push_back(line[i]);
    model[line.substr(0, paren)] = {std::stoul(digits), std::stod(fields[7]), std::stod(fields[8])};
  }
  return model;
}

int Run(int argc, char **argv) {
  if (argc < 3) {
    std::cerr << "usage: codec_size_tool DATA_DIRECTORY MODEL.tsv [TSBS.csv]\n";
    return 2;
  }
  const std::map<std::string, Model> model = ReadModel(argv[2]);
  struct Mean {
    double hot = 0;
    double cold = 0;
    int count = 0;
  };
  std::map<std::string, Mean> means;
  int worse = 0;
  std::printf("%-33s %7s  %7s %7s %6s  %7s %7s %6s  %s\n", "column", "count", "HOT", "model",
              "ratio", "COLD", "model", "ratio", "encodings");
  for (const Column &column : LoadColumns(argv[1], argc > 3 ? argv[3] : "")) {
    const size_t count = column.integers.size() + column.doubles.size();
    const Size hot = MeasureColumn(column, Level::kHot);
    const Size cold = MeasureColumn(column, Level::kCold);
    const auto found = model.find(column.name);
    const Model expected = found == model.end() ? Model{} : found->second;
    // The model's figures have two decimals.
    const bool bad = hot.bits_per_value > expected.hot * 1.03 + 0.005 ||
                     cold.bits_per_value > expected.cold * 1.03 + 0.005;
    worse += bad ? 1 : 0;
    std::printf("%-33s %7zu  %7.3f %7.2f %6.3f  %7.3f %7.2f %6.3f  %s, %s%s%s\n",
                column.name.c_str(), count, hot.bits_per_value, expected.hot,
                hot.bits_per_value / expected.hot, cold.bits_per_value, expected.cold,
                cold.bits_per_value / expected.cold, hot.encoding.c_str(), cold.encoding.c_str(),
                bad ? "  WORSE" : "", count == expected.count ? "" : "  OTHER COUNT");
    const char *kind = !column.doubles.empty()              ? "floats"
                       : column.name.rfind("time ", 0) == 0 ? "times"
                                                            : "ints";
    Mean &mean = means[kind];
    mean.hot += std::log(hot.bits_per_value);
    mean.cold += std::log(cold.bits_per_value);
    mean.count++;
  }
  for (const auto &[kind, mean] : means) {
    std::printf("geometric mean of %d %s: HOT %.3f, COLD %.3f\n", mean.count, kind.c_str(),
                std::exp(mean.hot / mean.count), std::exp(mean.cold / mean.count));
  }
  return worse == 0 ? 0 : 1;
}

}  // namespace
}  // namespace tsext

int main(int argc, char **argv) {
  return tsext::Run(argc, argv);
}
