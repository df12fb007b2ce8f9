#include "server/obs/exposition.h"

#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <sstream>
#include <utility>

#include "absl/strings/ascii.h"

namespace credbroker::obs {
namespace {

prometheus::MetricType TypeOf(const MetricSpec& spec) {
  switch (spec.type) {
    case MetricType::kCounter:
      return prometheus::MetricType::Counter;
    case MetricType::kGauge:
      return prometheus::MetricType::Gauge;
    case MetricType::kHistogram:
      break;
  }
  return prometheus::MetricType::Histogram;
}

prometheus::ClientMetric WithLabels(const MetricSpec& spec, const Exposition::Labels& labels) {
  prometheus::ClientMetric metric;
  for (size_t i = 0; i < labels.size(); ++i) {
    metric.label.push_back({spec.labels[i], labels[i]});
  }
  return metric;
}

void AppendValue(const MetricSpec& spec, const Exposition::Labels& labels, double value,
                 prometheus::MetricFamily& family) {
  prometheus::ClientMetric metric = WithLabels(spec, labels);
  if (spec.type == MetricType::kCounter) {
    metric.counter.value = value;
  } else {
    metric.gauge.value = value;
  }
  family.metric.push_back(std::move(metric));
}

void AppendHistogram(const Exposition::Labels& labels, const Histogram& histogram,
                     prometheus::MetricFamily& family) {
  prometheus::ClientMetric metric = WithLabels(histogram.spec(), labels);
  uint64_t seen = 0;
  const auto bounds = histogram.spec().buckets;
  for (size_t i = 0; i < bounds.size(); ++i) {
    seen += histogram.BucketCount(i);
    metric.histogram.bucket.push_back({seen, bounds[i]});
  }
  // The count is the sum of the buckets just read, so that one scrape never contradicts itself.
  metric.histogram.sample_count = seen + histogram.BucketCount(bounds.size());
  metric.histogram.sample_sum = histogram.SumSeconds();
  family.metric.push_back(std::move(metric));
}

double Merged(Exposition::Merge merge, double a, double b) {
  switch (merge) {
    case Exposition::Merge::kSum:
      return a + b;
    case Exposition::Merge::kMax:
      return std::max(a, b);
    case Exposition::Merge::kMinPositive:
      break;
  }
  if (a == 0 || b == 0) return std::max(a, b);
  return std::min(a, b);
}

}  // namespace

absl::string_view CleanLabel(absl::string_view value) {
  constexpr absl::string_view kOther = "other";
  if (value.empty() || value.size() > 64) return kOther;
  for (const char c : value) {
    const bool allowed = absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                         absl::string_view("_.:/+-").find(c) != absl::string_view::npos;
    if (!allowed) return kOther;
  }
  return value;
}

void Exposition::Add(const MetricSpec& spec, Labels labels, double value, Merge merge) {
  assert(labels.size() == spec.LabelCount());
  assert(spec.type != MetricType::kHistogram);
  if (!std::isfinite(value) || value < 0) value = 0;
  const auto [it, inserted] = values_[&spec].try_emplace(std::move(labels), value);
  if (!inserted) it->second = Merged(merge, it->second, value);
}

void Exposition::Add(Labels labels, const Histogram& histogram) {
  assert(labels.size() == histogram.spec().LabelCount());
  histograms_[&histogram.spec()][std::move(labels)] = &histogram;
}

std::string Exposition::Text() const {
  std::vector<prometheus::MetricFamily> families;
  for (const MetricSpec* spec : table_) {
    prometheus::MetricFamily family;
    family.name = spec->name;
    family.help = spec->help;
    family.type = TypeOf(*spec);
    if (const auto values = values_.find(spec); values != values_.end()) {
      for (const auto& [labels, value] : values->second) AppendValue(*spec, labels, value, family);
    } else if (spec->LabelCount() == 0 && spec->type != MetricType::kHistogram) {
      AppendValue(*spec, {}, 0, family);
    }
    if (const auto found = histograms_.find(spec); found != histograms_.end()) {
      for (const auto& [labels, histogram] : found->second) {
        AppendHistogram(labels, *histogram, family);
      }
    }
    if (!family.metric.empty()) families.push_back(std::move(family));
  }
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

}  // namespace credbroker::obs
