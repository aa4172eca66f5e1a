// HCCL's rank tables before 2.0: template 2 (no version), 1.0 (servers), 1.2 (supernodes of Atlas A3), and
// MindCluster's global table, which holds several of them. Sources: HCCL's rank_table_config documentation; hcomm's
// parsers.
//
// A table tells who is where and by which addresses, no rates: links have kinds only. Devices of the older tables are
// devices; with a super_device_id they are dies, two of each NPU (Atlas A3). Values are texts; numbers are taken, too.
// All further members of a server or a device are kept as facts.
#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <set>
#include <tuple>

#include "topology/files/json_file.hpp"
#include "topology/files/readers.hpp"
#include "topology/files/xml_file.hpp"

namespace tenon::topology_files {
namespace {

constexpr std::size_t max_servers = 1u << 14, max_devices = 1u << 10;
constexpr std::uint64_t dies_of_npu = 2;

bool is_internet_address(std::string_view text) {
    return text.size() >= 2 && text.size() <= 64 && text.find_first_of(".:") != std::string_view::npos &&
           text.find_first_not_of("0123456789abcdefABCDEF.:%/") == std::string_view::npos;
}

class Reader {
public:
    Reader(std::string_view bytes, std::string_view file)
        : json_(bytes, file, true), builder_(kinds::cluster, "rank table") {}

    Result<Map> read(const JsonElement& root) {
        json_.require_object(root);
        if (root.has("server_group_list"))
            read_groups(root);
        else if (root.has("group_list"))
            read_template_2(root);
        else
            read_servers_and_pods(root);
        if (!json_.is_refused() && ranks_.empty()) json_.refuse(root, "has no ranks");
        check_order(root);
        if (json_.is_refused()) return json_.error();
        auto map = std::move(builder_).finish();
        if (!map) json_.refuse(root, map.error().message);
        if (json_.is_refused()) return json_.error();
        return map;
    }

private:
    void note(const JsonElement& element) {
        if (builder_.problem()) json_.refuse(element, *builder_.problem());
    }

    // Refused where a count that the table gives is not that of its list.
    void check_count(const JsonElement& object, const char* key, std::size_t count) {
        if (!object.has(key) || json_.is_refused()) return;
        const auto told = json_.number(object[key], 0, UINT32_MAX);
        if (told != count) json_.refuse(object[key], fmt::format("is {}, but the list has {}", told, count));
    }

    void check_head(const JsonElement& root) {
        if (root.has("status")) {
            const std::string status = json_.text(root["status"]);
            if (status == "initializing")
                json_.refuse(root["status"], "is \"initializing\": the table is not complete yet; read it again later");
            else if (status != "completed")
                json_.refuse(root["status"],
                             fmt::format("is {}, not completed or initializing", described(root["status"].value())));
        }
        if (!root.has("version")) return;
        const std::string version = json_.text(root["version"]);
        if (version != "1.0" && version != "1.1" && version != "1.2")
            json_.refuse(root["version"],
                         fmt::format("is {}; 1.0, 1.2 and 2.0 can be read", described(root["version"].value())));
    }

    // Members that are no lists or objects.
    void set_facts(const JsonElement& object, PlaceIndex place) {
        if (!object.value().is_object()) return;
        for (const auto& [key, value] : object.value().items())
            if ((value.is_string() || value.is_number()) && !key.empty() && key.size() <= max_name_bytes)
                set_fact_if_plain(builder_, place, key,
                                  value.is_string() ? value.get_ref<const std::string&>() : value.dump());
    }

    PlaceIndex add(const JsonElement& element, PlaceIndex parent, std::string_view kind, std::string_view name) {
        const PlaceIndex place = builder_.add_place(parent, kind, names_.name_for(parent, name));
        note(element);
        return place;
    }

    // ---- template 2: a group of instances, which are parts of servers; the rank is the position

    void read_template_2(const JsonElement& root) {
        check_head(root);
        const JsonElement groups = root["group_list"];
        const std::size_t count = json_.array_size(groups, 1);
        check_count(root, "group_count", count);
        if (count == 0) return json_.refuse(groups, "is empty");
        const JsonElement group = groups[std::size_t{0}], instances = json_.member(group, "instance_list");
        const std::size_t instance_count = json_.array_size(instances, max_servers);
        check_count(group, "instance_count", instance_count);
        Rank rank = 0;
        for (std::size_t i = 0; i < instance_count && !json_.is_refused(); i++) {
            const std::string id = json_.words(json_.member(instances[i], "server_id"));
            const auto [server, is_new] = servers_.try_emplace(id);
            if (is_new) server->second = add(instances[i], outermost, kinds::server, id);
            const JsonElement devices = json_.member(instances[i], "devices");
            const std::size_t device_count = json_.array_size(devices, max_devices);
            // The oldest tables have an instance for each device, which may say its rank.
            const bool says_rank = device_count == 1 && instances[i].has("rank_id");
            for (std::size_t d = 0; d < device_count && !json_.is_refused(); d++, rank++)
                read_device(
                    devices[d], server->second, outermost,
                    says_rank ? static_cast<Rank>(json_.number(instances[i]["rank_id"], 0, max_places - 1)) : rank);
        }
        check_count(group, "device_count", static_cast<std::size_t>(rank));
    }

    // ---- versions 1.0 and 1.2

    void read_groups(const JsonElement& root) {
        check_head(root);
        const JsonElement groups = root["server_group_list"];
        const std::size_t count = json_.array_size(groups, max_servers);
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            // Groups without servers serve other purposes, such as the coordinator of an inference job.
            if (groups[i].has("server_list") && !has_devices(groups[i]["server_list"])) continue;
            first_rank_ = begins_with_rank_0(groups[i]["server_list"]) ? static_cast<Rank>(ranks_.size()) : 0;
            read_servers_and_pods(groups[i]);
        }
    }

    static bool has_devices(const JsonElement& servers) {
        for (std::size_t i = 0; i < servers.size(); i++)
            if (servers[i].has("device")) return true;
        return false;
    }
    // Each group may number its own ranks.
    static bool begins_with_rank_0(const JsonElement& servers) {
        for (std::size_t i = 0; i < servers.size(); i++)
            for (std::size_t d = 0; d < servers[i]["device"].size(); d++)
                if (const Json& rank = servers[i]["device"][d]["rank_id"].value(); rank == "0" || rank == 0)
                    return true;
        return false;
    }

    void read_servers_and_pods(const JsonElement& root) {
        check_head(root);
        const JsonElement list = json_.member(root, "server_list");
        const std::size_t count = json_.array_size(list, max_servers);
        check_count(root, "server_count", count);
        if (root.has("super_pod_list")) read_pods(root["super_pod_list"]);
        std::set<std::string> listed;
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            const JsonElement server = list[i];
            const std::string id = json_.words(json_.member(server, "server_id"));
            if (!listed.insert(id).second) json_.refuse(server["server_id"], "is the id of an earlier server, too");
            PlaceIndex parent = outermost;
            if (root.has("super_pod_list")) {
                const auto pod = pod_of_.find(id);
                if (pod == pod_of_.end())
                    json_.refuse(server["server_id"], "is in no super_pod_list, though others are");
                else
                    parent = pod->second;
            }
            if (!json_.is_refused()) read_server(server, id, parent);
        }
        for (const auto& [id, element] : pod_members_)
            if (!listed.contains(id)) json_.refuse(element, "is no server of server_list");
        pod_of_.clear();
        pod_members_.clear();
    }

    void read_pods(const JsonElement& pods) {
        const std::size_t count = json_.array_size(pods, max_servers);
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            const std::string id = json_.words(json_.member(pods[i], "super_pod_id"));
            const auto [pod, is_new] = pods_.try_emplace(id);
            if (!is_new) return json_.refuse(pods[i]["super_pod_id"], "is the id of an earlier super pod, too");
            pod->second = add(pods[i], outermost, kinds::supernode, fmt::format("supernode{}", id));
            const JsonElement servers = json_.member(pods[i], "server_list");
            const std::size_t server_count = json_.array_size(servers, max_servers);
            for (std::size_t s = 0; s < server_count && !json_.is_refused(); s++) {
                const JsonElement member = json_.member(servers[s], "server_id");
                const std::string server_id = json_.words(member);
                if (!pod_of_.emplace(server_id, pod->second).second) json_.refuse(member, "is in a super pod already");
                pod_members_.emplace_back(server_id, member);
            }
        }
    }

    void read_server(const JsonElement& server, const std::string& id, PlaceIndex parent) {
        const PlaceIndex place = add(server, parent, kinds::server, id);
        set_facts(server, place);
        const JsonElement devices = json_.member(server, server.has("devices") ? "devices" : "device");
        const std::size_t count = json_.array_size(devices, max_devices);
        for (std::size_t i = 0; i < count && !json_.is_refused(); i++) {
            const JsonElement rank = json_.member(devices[i], "rank_id");
            read_device(devices[i], place, parent,
                        first_rank_ + static_cast<Rank>(json_.number(rank, 0, max_places - 1)));
        }
    }

    void read_device(const JsonElement& device, PlaceIndex server, PlaceIndex pod, Rank rank) {
        const auto id = json_.number(json_.member(device, "device_id"), 0, UINT32_MAX);
        // Several processes may share a device, each at a port of its own.
        const std::string port = device.has("device_port") ? json_.words(device["device_port"]) : std::string{};
        if (!json_.is_refused() && !device_ids_.emplace(server, id, port).second)
            json_.refuse(device["device_id"], fmt::format("is {}, as that of another device of this server{}", id,
                                                          port.empty() ? "" : " at the same device_port"));
        if (device.has("device_ip") && !json_.text(device["device_ip"]).empty() &&
            !is_internet_address(json_.text(device["device_ip"])))
            json_.refuse(device["device_ip"],
                         fmt::format("is {}, not an address", described(device["device_ip"].value())));
        if (json_.is_refused()) return;
        const bool is_die = device.has("super_device_id");
        const PlaceIndex holder = is_die ? npu_of(device, server, id / dies_of_npu) : server;
        const PlaceIndex place = add(device, holder, is_die ? kinds::die : kinds::device, fmt::format("device{}", id));
        set_facts(device, place);
        builder_.set_rank(place, rank);
        ranks_.emplace_back(server, rank);
        if (device.has("device_ip")) join(device, place, outermost, "roce");
        if (is_die && pod != outermost) {
            const std::string number = json_.words(device["super_device_id"]);
            if (!pod_device_ids_.emplace(pod, number, port).second)
                json_.refuse(device["super_device_id"],
                             fmt::format("is {}, as that of another device of this super pod",
                                         described(device["super_device_id"].value())));
            join(device, place, pod, "ub");
        }
        note(device);
    }

    PlaceIndex npu_of(const JsonElement& device, PlaceIndex server, std::uint64_t number) {
        const auto [npu, is_new] = npus_.try_emplace({server, number});
        if (is_new) npu->second = add(device, server, kinds::npu, fmt::format("npu{}", number));
        return npu->second;
    }

    // By a network that joins all of its kind in a place; at rates that the table does not tell.
    void join(const JsonElement& element, PlaceIndex device, PlaceIndex holder, const char* kind) {
        const auto [network, is_new] = networks_.try_emplace({holder, kind});
        if (is_new) network->second = add(element, holder, kinds::network, kind);
        builder_.add_link({.from = device, .to = network->second, .kind = kind});
    }

    // HCCL demands that the ranks of a server follow one another.
    void check_order(const JsonElement& root) {
        std::ranges::sort(ranks_, {}, [](const auto& entry) { return entry.second; });
        std::set<PlaceIndex> finished;
        for (std::size_t i = 1; i < ranks_.size(); i++) {
            if (ranks_[i].first == ranks_[i - 1].first) continue;
            finished.insert(ranks_[i - 1].first);
            if (finished.contains(ranks_[i].first) && !builder_.problem() && ranks_[i].second != ranks_[i - 1].second)
                json_.refuse(root,
                             fmt::format("rank {} is in the server \"{}\" again, after ranks of other servers; the "
                                         "ranks of a server must follow one another",
                                         ranks_[i].second, builder_[ranks_[i].first].name));
        }
    }

    JsonReader json_;
    MapBuilder builder_;
    PlaceNames names_;
    Rank first_rank_ = 0;  // of the group that is read
    std::map<std::string, PlaceIndex> servers_, pods_, pod_of_;
    std::vector<std::pair<std::string, JsonElement>> pod_members_;
    std::vector<std::pair<PlaceIndex, Rank>> ranks_;                           // by server
    std::set<std::tuple<PlaceIndex, std::uint64_t, std::string>> device_ids_;  // with the port
    std::set<std::tuple<PlaceIndex, std::string, std::string>> pod_device_ids_;
    std::map<std::pair<PlaceIndex, std::uint64_t>, PlaceIndex> npus_;
    std::map<std::pair<PlaceIndex, std::string_view>, PlaceIndex> networks_;
};

}  // namespace

Result<Map> read_rank_table_v1(std::string_view bytes, std::string_view file) {
    const auto parsed = parse_json(bytes, file);
    if (!parsed) return std::unexpected(parsed.error());
    return Reader{bytes, file}.read({*parsed, ""});
}

}  // namespace tenon::topology_files
