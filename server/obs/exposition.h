// Exposition: collects the samples of one scrape and writes the Prometheus text format.
//
// Samples of one metric with equal labels are merged, so a label value that was folded into
// "other" neither repeats a series (which makes a scraper reject the page) nor loses counts.
//
// Thread-safety: not safe; one object a scrape.
#ifndef CREDBROKER_SERVER_OBS_EXPOSITION_H_
#define CREDBROKER_SERVER_OBS_EXPOSITION_H_

#include <map>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "server/obs/instruments.h"
#include "server/obs/metric_table.h"

namespace credbroker::obs {

// Returns `value` if it can be a member of a closed set (1 to 64 of [A-Za-z0-9_.:/+-]), else
// "other".
absl::string_view CleanLabel(absl::string_view value);

class Exposition {
 public:
  using Table = absl::Span<const MetricSpec* const>;
  using Labels = std::vector<std::string>;
  // `table` says which metrics are written, in this order, and outlives this.
  explicit Exposition(Table table = metric::kAll) : table_(table) {}

  enum class Merge { kSum, kMinPositive, kMax };

  // Adds one sample. NaN, infinite and negative values become 0.
  // REQUIRES: labels.size() == spec.LabelCount().
  void Add(const MetricSpec& spec, Labels labels, double value, Merge merge = Merge::kSum);
  void Add(Labels labels, const Histogram& histogram);

  // The text format 0.0.4, metrics in the order of the table. A metric without labels that got no
  // sample is shown as 0; one with labels and no sample is left out.
  std::string Text() const;

 private:
  const Table table_;
  std::map<const MetricSpec*, std::map<Labels, double>> values_;
  std::map<const MetricSpec*, std::map<Labels, const Histogram*>> histograms_;
};

}  // namespace credbroker::obs

#endif  // CREDBROKER_SERVER_OBS_EXPOSITION_H_
