#include "server/store/record.h"

#include "tests/engine/engine_fixture.h"

namespace credbroker::store {
namespace {

const absl::Time kNow = absl::FromUnixNanos(1'800'000'000'123'456'789);

core::Document FullDocument() {
  core::Document d;
  d.id = "team/a";
  d.group = "east";
  d.provider = "claude";
  d.kind = core::Kind::kOAuth;
  d.source = "team";
  d.source_path = "a.json";
  d.email = "a@example.com";
  d.label = "l";
  d.note = "n";
  d.priority = -3;
  d.weight = 0;
  d.prefix = "p";
  d.proxy_url = "http://u:p@h:1";
  d.base_url = "https://b";
  d.headers = {{"X-B", "2"}, {"X-A", "1\xff"}};
  d.models = {"m*"};
  d.excluded_models = {"x"};
  d.model_aliases = {{"al", "m1"}};
  d.disable_cooling = true;
  d.max_in_flight = 0;
  d.max_in_flight_per_model = 2;
  d.request_retry = 3;
  d.refresh_interval_seconds = 4;
  d.external_refresh = true;
  d.attributes_json = R"({"token_url":"https://t"})";
  d.extra_json = R"({"k":1})";
  d.labels = {{"a", "1"}};  // one: the order of a map's bytes is not fixed
  d.create_time = kNow;
  d.revision = 9;
  return d;
}

TEST(RecordTest, ADocumentComesBackWhole) {
  const core::Document d = FullDocument();
  const auto entry = DecodeDocument(EncodeDocument(d, core::Uid(5), kNow, true));
  ASSERT_TRUE(entry.ok()) << entry.status();
  EXPECT_EQ(entry->uid, core::Uid(5));
  const core::Document& back = *entry->document;
  EXPECT_EQ(EncodeDocument(back, core::Uid(5), kNow, true),
            EncodeDocument(d, core::Uid(5), kNow, true));
  EXPECT_EQ(back.headers, d.headers);
  EXPECT_EQ(back.max_in_flight, 0);
  EXPECT_EQ(back.weight, 0);
  EXPECT_EQ(back.priority, -3);
  EXPECT_EQ(back.labels, d.labels);
  EXPECT_EQ(back.create_time, kNow);
  EXPECT_EQ(back.model_aliases, d.model_aliases);
  EXPECT_EQ(back.kind, d.kind);
  const auto bare =
      DecodeDocument(EncodeDocument(*engine::MakeDocument("a"), core::Uid(5), kNow, false));
  ASSERT_TRUE(bare.ok()) << bare.status();
  EXPECT_FALSE(bare->document->max_in_flight.has_value());
  EXPECT_EQ(bare->document->weight, 1);
}

TEST(RecordTest, ASecretComesBackWhole) {
  core::SecretMaterial s;
  s.access_token = core::Secret("at");
  s.refresh_token = core::Secret("rt");
  s.id_token = core::Secret("it");
  s.api_key = core::Secret(absl::string_view("k\0y", 3));
  s.client_secret = core::Secret("cs");
  s.service_account = core::Secret("{}");
  s.cookie = core::Secret("c");
  s.extra["x"] = core::Secret("e");
  s.expire_time = kNow;
  s.version = 4;
  const core::Secret bytes = EncodeSecret(s, core::Uid(5), kNow);
  const auto entry = DecodeSecret(bytes.reveal());
  ASSERT_TRUE(entry.ok()) << entry.status();
  const core::SecretMaterial& back = *entry->secret;
  EXPECT_EQ(back.access_token, s.access_token);
  EXPECT_EQ(back.refresh_token, s.refresh_token);
  EXPECT_EQ(back.id_token, s.id_token);
  EXPECT_EQ(back.api_key, s.api_key);
  EXPECT_EQ(back.client_secret, s.client_secret);
  EXPECT_EQ(back.service_account, s.service_account);
  EXPECT_EQ(back.cookie, s.cookie);
  EXPECT_EQ(back.extra.at("x"), s.extra.at("x"));
  EXPECT_EQ(back.expire_time, s.expire_time);
  EXPECT_EQ(back.version, 4u);
}

TEST(RecordTest, HealthComesBackForEveryCauseAndAuthHealth) {
  core::HealthRecord h;
  h.uid = core::Uid(5);
  h.policy_since = kNow;
  for (int cause = 1; cause < core::kCauseCount; ++cause) {
    core::ScopedRecord scoped;
    scoped.model = cause % 2 ? "m" : "";
    scoped.record.cause = static_cast<core::Cause>(cause);
    scoped.record.level = static_cast<uint16_t>(cause);
    scoped.record.block_until = kNow;
    scoped.record.avoid_until = cause == 3 ? absl::InfinitePast() : kNow + absl::Hours(1);
    scoped.record.began = kNow - absl::Hours(1);
    scoped.record.raw_hint = "30s";
    h.records.push_back(scoped);
  }
  h.windows.push_back({.name = "tokens", .limit = 5, .remaining = {}, .reset = kNow});
  for (int auth = 0; auth < 5; ++auth) {
    h.auth = static_cast<core::AuthHealth>(auth);
    const auto back = DecodeHealth(EncodeHealth(h));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ((*back)->auth, h.auth);
    EXPECT_EQ(EncodeHealth(**back), EncodeHealth(h));
    for (size_t i = 0; i < h.records.size(); ++i) {
      EXPECT_EQ((*back)->records[i].record.cause, h.records[i].record.cause);
      EXPECT_EQ((*back)->records[i].record.avoid_until, h.records[i].record.avoid_until);
    }
    EXPECT_EQ((*back)->windows[0].reset, kNow);
    EXPECT_FALSE((*back)->windows[0].remaining.has_value());
  }
}

TEST(RecordTest, HistoryComesBackForEveryReason) {
  for (int why = 0; why < core::kWhyCount; ++why) {
    core::TransitionView line;
    line.line.number = 70;
    line.line.at_ms = 1'800'000'000'123;
    line.line.until_ms = why % 2 ? 1'800'000'001'000 : 0;
    line.line.from = core::State::kWaiting;
    line.line.to = core::State::kDisabled;
    line.line.why = static_cast<core::Why>(why);
    line.line.cause = core::Cause::kOperator;
    line.model = "m";
    line.actor = "ops";
    const auto back = DecodeHistory(EncodeHistory(line, core::Uid(5)));
    ASSERT_TRUE(back.ok()) << back.status();
    EXPECT_EQ(back->line.line.why, line.line.why);
    EXPECT_EQ(back->line.line.at_ms, line.line.at_ms);
    EXPECT_EQ(back->line.line.until_ms, line.line.until_ms);
    EXPECT_EQ(back->line.line.from, line.line.from);
    EXPECT_EQ(back->line.line.cause, line.line.cause);
    EXPECT_EQ(back->line.actor, "ops");
  }
}

TEST(RecordTest, KeysOfHistoryAreOrderedByNumberAndReadBack) {
  const std::string key = HistoryKey("a/b", core::Uid(3), 256);
  const auto name = ParseHistoryKey(key);
  ASSERT_TRUE(name.has_value());
  EXPECT_EQ(name->id, "a/b");
  EXPECT_EQ(name->uid, core::Uid(3));
  EXPECT_EQ(name->number, 256u);
  EXPECT_LT(HistoryKey("a/b", core::Uid(3), 255), key);
  EXPECT_FALSE(ParseHistoryKey("short").has_value());
}

TEST(RecordTest, BytesThatAreNoRecordAreDataLoss) {
  for (const absl::string_view bytes : {"\xff\xff\xff", ""}) {
    EXPECT_TRUE(absl::IsDataLoss(DecodeDocument(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeSecret(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeIntent(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeHealth(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeTombstone(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeBatch(bytes).status()));
    EXPECT_TRUE(absl::IsDataLoss(DecodeMeta(bytes).status()));
  }
}

TEST(RecordTest, ASecretOpensOnlyWhereItsDocumentStillPoints) {
  const RecordSealer sealer(engine::TestKeyring(), "store", 1);
  const core::Document document = FullDocument();
  const Write write = sealer.Put(RowKind::kSecret, document.id, "plain", SecretBinding(document));
  const Row row{
      .kind = write.kind, .key = write.key, .version = write.version, .value = *write.value};
  EXPECT_EQ(sealer.Open(row, SecretBinding(document))->reveal(), "plain");
  core::Document harmless = document;
  harmless.note = "other";
  harmless.priority = 1;
  EXPECT_TRUE(sealer.Open(row, SecretBinding(harmless)).ok());
  for (void (*redirect)(core::Document&) : {
           +[](core::Document& d) { d.provider = "x"; },
           +[](core::Document& d) { d.group = "x"; },
           +[](core::Document& d) { d.proxy_url = "http://evil"; },
           +[](core::Document& d) { d.base_url = "http://evil"; },
           +[](core::Document& d) { d.attributes_json = R"({"token_url":"https://evil"})"; },
           +[](core::Document& d) { d.attributes_json = R"({"token\u005furl":"https://evil"})"; },
           +[](core::Document& d) {
             d.attributes_json = R"({"token_url":"https://t","client_id":"evil"})";
           },
       }) {
    core::Document other = document;
    redirect(other);
    EXPECT_TRUE(absl::IsDataLoss(sealer.Open(row, SecretBinding(other)).status()));
  }
  Row moved = row;
  moved.key = "team/b";
  EXPECT_FALSE(sealer.Open(moved, SecretBinding(document)).ok());
  Row replayed = row;
  ++replayed.version;
  EXPECT_FALSE(sealer.Open(replayed, SecretBinding(document)).ok());
}

}  // namespace
}  // namespace credbroker::store
