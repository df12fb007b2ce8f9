// The control plane's rules.
#include <algorithm>
#include <set>

#include <google/protobuf/struct.pb.h>
#include <google/protobuf/util/json_util.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "server/rpc/validate.h"

namespace credbroker::rpc {
namespace {

constexpr int kMaxCap = 1'000'000;
constexpr size_t kMaxAttributes = 64 * 1024;
constexpr size_t kMaxSecret = 64 * 1024;

void CheckRequestId(const std::string& id, Checker& check) { check.Text(id, 128, "request_id"); }

void CheckTarget(const std::string& id, Checker& check) {
  check.Require(!id.empty(), "id");
  check.Text(id, 256, "id");
}

void CheckProxy(const std::string& url, absl::string_view field, Checker& check) {
  if (url == "direct" || url == "none") return;
  check.Url(url, "http,https,socks5,socks5h", field);
}

void CheckPrefix(const std::string& prefix, absl::string_view field, Checker& check) {
  check.Text(prefix, 64, field);
  if (absl::StrContains(prefix, "/")) check.Add(field, "must not have \"/\"");
}

void CheckLabel(const std::string& key, const std::string& value, absl::string_view field,
                Checker& check) {
  check.Name(key, field);
  if (key.empty() || key.size() > 32) check.Add(field, "keys are 1 to 32 characters");
  check.Text(value, 64, field);
}

void CheckHeaderMap(const google::protobuf::Map<std::string, std::string>& headers,
                    Checker& check) {
  check.Count(static_cast<int>(headers.size()), 64, "headers");
  for (const auto& [name, value] : headers) {
    const bool token =
        !name.empty() && name.size() <= 256 && std::all_of(name.begin(), name.end(), [](char c) {
          return absl::ascii_isalnum(static_cast<unsigned char>(c)) ||
                 absl::StrContains("!#$%&'*+-.^_`|~", absl::string_view(&c, 1));
        });
    if (!token) check.Add("headers", "a name is not 1 to 256 bytes of a header name");
    check.Text(value, 8192, "headers");
  }
}

void CheckModels(const v1::Credential& credential, Checker& check) {
  check.Count(credential.models_size(), 1024, "models");
  check.Count(credential.excluded_models_size(), 1024, "excluded_models");
  check.Count(credential.model_aliases_size(), 1024, "model_aliases");
  for (const std::string& model : credential.models()) {
    check.Require(!model.empty(), "models");
    check.Text(model, 256, "models");
  }
  for (const std::string& model : credential.excluded_models()) {
    check.Require(!model.empty(), "excluded_models");
    check.Text(model, 256, "excluded_models");
  }
  for (const v1::ModelAlias& alias : credential.model_aliases()) {
    check.Require(!alias.alias().empty() && !alias.model().empty(), "model_aliases");
    check.Text(alias.alias(), 256, "model_aliases");
    check.Text(alias.model(), 256, "model_aliases");
  }
}

void CheckCredential(const v1::Credential& credential, Checker& check) {
  check.Require(!credential.id().empty(), "id");
  check.Id(credential.id(), "id");
  check.Name(credential.group(), "group");
  check.Name(credential.provider(), "provider");
  check.Known(credential.kind(), &v1::CredentialKind_IsValid, "kind");
  check.Text(credential.label(), 256, "label");
  check.Text(credential.email(), 320, "email");
  check.Text(credential.note(), 1024, "note");
  check.Range(credential.priority(), -1'000'000, 1'000'000, "priority");
  if (credential.has_weight()) check.Range(credential.weight(), -1'000'000, 1'000'000, "weight");
  CheckPrefix(credential.prefix(), "prefix", check);
  CheckProxy(credential.proxy_url(), "proxy_url", check);
  check.Url(credential.base_url(), "http,https", "base_url");
  CheckHeaderMap(credential.headers(), check);
  CheckModels(credential, check);
  if (credential.has_max_in_flight()) {
    check.Range(credential.max_in_flight(), 0, kMaxCap, "max_in_flight");
  }
  if (credential.has_max_in_flight_per_model()) {
    check.Range(credential.max_in_flight_per_model(), 0, kMaxCap, "max_in_flight_per_model");
  }
  if (credential.has_request_retry())
    check.Range(credential.request_retry(), 0, 100, "request_retry");
  if (credential.has_refresh_interval()) {
    check.Span(credential.refresh_interval(), absl::Minutes(1), absl::Hours(90 * 24),
               "refresh_interval");
  }
  if (credential.attributes().ByteSizeLong() > kMaxAttributes) {
    check.Add("attributes", "is more than 64 KiB");
  }
  check.Count(static_cast<int>(credential.labels().size()), 8, "labels");
  for (const auto& [key, value] : credential.labels()) CheckLabel(key, value, "labels", check);
}

void CheckSecretBytes(const std::string& bytes, absl::string_view field, Checker& check) {
  if (bytes.size() > kMaxSecret) check.Add(field, "is more than 64 KiB");
  // A header cannot carry these, and no token has them.
  if (bytes.find_first_of(std::string("\r\n\0", 3)) != std::string::npos) {
    check.Add(field, "has CR, LF or NUL; is there a line end at its end?");
  }
}

// A file that signs nothing would be found out at its first use only.
void CheckServiceAccount(const std::string& json, Checker& check) {
  constexpr absl::string_view kField = "service_account_json";
  if (json.size() > kMaxSecret) return check.Add(kField, "is more than 64 KiB");
  google::protobuf::Struct object;
  if (json.empty()) return;
  if (!google::protobuf::util::JsonStringToMessage(json, &object).ok()) {
    return check.Add(kField, "is not a JSON object");
  }
  const auto key = object.fields().find("private_key");
  if (key == object.fields().end() || key->second.string_value().empty()) {
    check.Add(kField, "has no private_key");
  }
}

bool CheckSecret(const v1::SecretMaterial& secret, Checker& check) {
  CheckSecretBytes(secret.access_token(), "access_token", check);
  CheckSecretBytes(secret.refresh_token(), "refresh_token", check);
  CheckSecretBytes(secret.id_token(), "id_token", check);
  CheckSecretBytes(secret.api_key(), "api_key", check);
  CheckSecretBytes(secret.client_secret(), "client_secret", check);
  CheckSecretBytes(secret.cookie(), "cookie", check);
  CheckServiceAccount(secret.service_account_json(), check);
  check.Count(static_cast<int>(secret.extra_secrets().size()), 16, "extra_secrets");
  for (const auto& [name, value] : secret.extra_secrets()) {
    check.Name(name, "extra_secrets");
    check.Require(!name.empty(), "extra_secrets");
    CheckSecretBytes(value, "extra_secrets", check);
  }
  if (secret.has_expire_time()) check.Time(secret.expire_time(), "expire_time");
  return !secret.access_token().empty() || !secret.refresh_token().empty() ||
         !secret.id_token().empty() || !secret.api_key().empty() ||
         !secret.client_secret().empty() || !secret.service_account_json().empty() ||
         !secret.cookie().empty() || !secret.extra_secrets().empty();
}

void CheckUntil(const google::protobuf::Timestamp& until, absl::Time now, absl::string_view field,
                Checker& check) {
  check.Time(until, field);
  if (check.ok() && ToTime(until) <= now) check.Add(field, "must be in the future");
}

void CheckOperation(const v1::BatchOperation& operation, int index, absl::Time now,
                    Checker& check) {
  const auto field = [&](absl::string_view name) {
    return absl::StrCat("operations[", index, "].", name);
  };
  switch (operation.operation_case()) {
    case v1::BatchOperation::OPERATION_NOT_SET:
      check.Add(absl::StrCat("operations[", index, "]"), "names no operation");
      break;
    case v1::BatchOperation::kDisable:
      check.Text(operation.disable().reason(), 512, field("disable.reason"));
      if (operation.disable().has_until()) {
        CheckUntil(operation.disable().until(), now, field("disable.until"), check);
      }
      break;
    case v1::BatchOperation::kSetPriority:
      check.Range(operation.set_priority(), -1'000'000, 1'000'000, field("set_priority"));
      break;
    case v1::BatchOperation::kSetWeight:
      check.Range(operation.set_weight(), -1'000'000, 1'000'000, field("set_weight"));
      break;
    case v1::BatchOperation::kSetPrefix:
      CheckPrefix(operation.set_prefix(), field("set_prefix"), check);
      break;
    case v1::BatchOperation::kSetProxyUrl:
      CheckProxy(operation.set_proxy_url(), field("set_proxy_url"), check);
      break;
    case v1::BatchOperation::kSetMaxInFlight:
      check.Range(operation.set_max_in_flight(), INT32_MIN, kMaxCap, field("set_max_in_flight"));
      break;
    case v1::BatchOperation::kSetMaxInFlightPerModel:
      check.Range(operation.set_max_in_flight_per_model(), INT32_MIN, kMaxCap,
                  field("set_max_in_flight_per_model"));
      break;
    case v1::BatchOperation::kSetGroup:
      check.Require(!operation.set_group().empty(), field("set_group"));
      check.Name(operation.set_group(), field("set_group"));
      break;
    case v1::BatchOperation::kSetLabels:
      check.Count(static_cast<int>(operation.set_labels().set().size()), 8,
                  field("set_labels.set"));
      check.Count(operation.set_labels().remove_size(), 8, field("set_labels.remove"));
      for (const auto& [key, value] : operation.set_labels().set()) {
        CheckLabel(key, value, field("set_labels.set"), check);
      }
      break;
    case v1::BatchOperation::kEnable:
    case v1::BatchOperation::kReset:
    case v1::BatchOperation::kDelete:
      break;
  }
}

}  // namespace

grpc::Status Validate(const v1::DisableRequest& request, absl::Time now) {
  Checker check;
  CheckTarget(request.id(), check);
  check.Text(request.reason(), 512, "reason");
  check.Text(request.etag(), 64, "etag");
  CheckRequestId(request.request_id(), check);
  if (request.has_until()) CheckUntil(request.until(), now, "until", check);
  return check.status();
}

grpc::Status Validate(const v1::EnableRequest& request) {
  Checker check;
  CheckTarget(request.id(), check);
  check.Text(request.etag(), 64, "etag");
  CheckRequestId(request.request_id(), check);
  return check.status();
}

grpc::Status Validate(const v1::ResetAvailabilityRequest& request) {
  Checker check;
  CheckTarget(request.id(), check);
  CheckRequestId(request.request_id(), check);
  return check.status();
}

grpc::Status Validate(const v1::GetCredentialRequest& request) {
  Checker check;
  CheckTarget(request.id(), check);
  return check.status();
}

grpc::Status Validate(const v1::DeleteCredentialRequest& request) {
  Checker check;
  CheckTarget(request.id(), check);
  check.Text(request.etag(), 64, "etag");
  CheckRequestId(request.request_id(), check);
  return check.status();
}

grpc::Status Validate(const v1::CreateCredentialRequest& request) {
  Checker check("credential.");
  CheckCredential(request.credential(), check);
  check.Require(!request.credential().provider().empty(), "provider");
  if (request.credential().intent().has_until()) {
    check.Time(request.credential().intent().until(), "intent.until");
  }
  check.Text(request.credential().intent().reason(), 512, "intent.reason");
  if (!check.ok()) return check.status();
  Checker secret("secret.");
  if (!CheckSecret(request.secret(), secret) && secret.ok()) {
    return BadField("secret", "at least one secret is required");
  }
  if (!secret.ok()) return secret.status();
  Checker rest;
  CheckRequestId(request.request_id(), rest);
  return rest.status();
}

grpc::Status Validate(const v1::UpdateCredentialRequest& request) {
  static const auto* const settable =
      new std::set<std::string>{"group",         "kind",
                                "label",         "email",
                                "note",          "priority",
                                "weight",        "prefix",
                                "proxy_url",     "headers",
                                "models",        "excluded_models",
                                "model_aliases", "disable_cooling",
                                "max_in_flight", "max_in_flight_per_model",
                                "request_retry", "refresh_interval",
                                "base_url",      "attributes",
                                "labels"};
  Checker check("credential.");
  CheckCredential(request.credential(), check);
  if (!check.ok()) return check.status();
  Checker rest;
  rest.Count(request.update_mask().paths_size(), 64, "update_mask");
  for (const std::string& path : request.update_mask().paths()) {
    const bool label = absl::StartsWith(path, "labels.") && path.size() > 7;
    if (path == "*") {
      rest.Add("update_mask",
               "\"*\" would clear fields this client does not know; name the fields");
    } else if (!label && settable->count(path) == 0) {
      rest.Add("update_mask", absl::StrCat("'", path, "' is not a field that can be set"));
    }
  }
  if (request.update_mask().paths().empty() && !request.has_secret()) {
    rest.Add("update_mask", "names no field, and there is no secret");
  }
  rest.Text(request.credential().etag(), 64, "credential.etag");
  CheckRequestId(request.request_id(), rest);
  if (!rest.ok()) return rest.status();
  Checker secret("secret.");
  if (request.has_secret() && !CheckSecret(request.secret(), secret) && secret.ok()) {
    return BadField("secret", "has no secret in it; leave it out to keep the stored one");
  }
  return secret.status();
}

grpc::Status Validate(const v1::BatchUpdateRequest& request, absl::Time now) {
  Checker check;
  switch (request.selection_case()) {
    case v1::BatchUpdateRequest::SELECTION_NOT_SET:
      check.Add("selection", "set one of ids, filter, selection_token");
      break;
    case v1::BatchUpdateRequest::kIds:
      check.Require(request.ids().ids_size() > 0, "ids.ids");
      check.Count(request.ids().ids_size(), 100'000, "ids.ids");
      for (const std::string& id : request.ids().ids()) {
        if (id.empty() || id.size() > 256) check.Text(id, 256, "ids.ids");
      }
      break;
    case v1::BatchUpdateRequest::kFilter:
      check.Require(!request.filter().filter().empty(), "filter.filter");
      if (!request.filter().has_expected_count() && !request.dry_run()) {
        check.Add("filter.expected_count", "is required; a dry_run tells it");
      }
      if (request.filter().expected_count() < 0) {
        check.Range(request.filter().expected_count(), 0, INT64_MAX, "filter.expected_count");
      }
      break;
    case v1::BatchUpdateRequest::kSelectionToken:
      check.Require(!request.selection_token().empty(), "selection_token");
      check.Text(request.selection_token(), 256, "selection_token");
      break;
  }
  if (request.operations().empty()) check.Add("operations", "needs 1 to 16 entries");
  check.Count(request.operations_size(), 16, "operations");
  std::set<int> seen;
  for (int i = 0; i < std::min(request.operations_size(), 16); ++i) {
    CheckOperation(request.operations(i), i, now, check);
    if (!seen.insert(static_cast<int>(request.operations(i).operation_case())).second) {
      check.Add(absl::StrCat("operations[", i, "]"), "is of a kind that is there already");
    }
  }
  if (seen.count(v1::BatchOperation::kDelete) != 0 && request.operations_size() > 1) {
    check.Add("operations", "delete goes alone");
  }
  if (seen.count(v1::BatchOperation::kEnable) != 0 &&
      seen.count(v1::BatchOperation::kDisable) != 0) {
    check.Add("operations", "enable and disable exclude each other");
  }
  CheckRequestId(request.request_id(), check);
  check.Text(request.comment(), 512, "comment");
  return check.status();
}

grpc::Status Validate(const v1::UndoBatchRequest& request) {
  Checker check;
  check.Require(!request.batch_id().empty(), "batch_id");
  check.Text(request.batch_id(), 128, "batch_id");
  CheckRequestId(request.request_id(), check);
  return check.status();
}

}  // namespace credbroker::rpc
