#include "pg/table/touched.hpp"

#include "pg/base/boundary.hpp"
#include "pg/catalog/cagg.hpp"

namespace tsext::pg {
namespace {

SourceGoesFunction source_goes = nullptr;

}  // namespace

void SetSourceGoesFunction(SourceGoesFunction function) {
  source_goes = function;
}

void SourceGoes(Relation base, int64_t from, int64_t until, Snapshot snapshot) {
  int count;
  (void)CachedAggregatesOfBase(RelationGetRelid(base), &count);
  if (count > 0 && source_goes != nullptr) source_goes(base, from, until, snapshot);
}

}  // namespace tsext::pg
