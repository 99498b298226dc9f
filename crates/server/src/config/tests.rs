use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;

use super::{ByteSize, Config, Period, Share, Sources};
use crate::Authentication;

fn sources(file: Option<&Path>, environment: &[(&str, &str)], flags: &[(&'static str, &str)]) -> Sources {
    Sources {
        file: file.map(Path::to_path_buf),
        environment: environment.iter().map(|(name, value)| (OsString::from(name), OsString::from(value))).collect(),
        flags: flags.iter().map(|(name, value)| (*name, (*value).to_owned())).collect(),
    }
}

#[test]
fn sizes_and_times_read_back_as_they_are_written() {
    for (text, bytes) in [("64MiB", 64 << 20), ("1GB", 1_000_000_000), (" 3 KiB ", 3 << 10), ("17", 17), ("0", 0)] {
        let size: ByteSize = text.parse().unwrap();
        assert_eq!(size.0, bytes, "{text}");
        assert_eq!(size.to_string().parse(), Ok(size), "{text}");
    }
    for (text, ms) in [("500ms", 500), ("10min", 600_000), ("0s", 0), ("2h", 7_200_000), ("1500ms", 1_500)] {
        let period: Period = text.parse().unwrap();
        assert_eq!(period.0, Duration::from_millis(ms), "{text}");
        assert_eq!(period.to_string().parse(), Ok(period), "{text}");
    }
    for text in ["", "MiB", "1 parsec", "-1", "99999999999999999999", "99999999999TiB", "1.5MiB"] {
        assert!(text.parse::<ByteSize>().is_err(), "{text}");
    }
    assert!("10".parse::<Period>().is_err(), "a time needs a unit");
}

#[test]
fn flags_win_over_environment_and_environment_over_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outcrop.toml");
    std::fs::write(
        &file,
        "data = \"/a\"\nconnections_max = 5\n[engine]\nflush_rows_max = 10\nflush_bytes_max = \"1MiB\"\n",
    )
    .unwrap();
    let environment = [
        ("OUTCROP_DATA", "/b"),
        ("OUTCROP_ENGINE_FLUSH_ROWS_MAX", "20"),
        ("OUTCROP_HTTP_HOSTS", "a.example, b.example"),
        ("OUTCROP_BINARY", "/someone/elses"),
        ("PATH", "/bin"),
    ];
    let config = sources(Some(&file), &environment, &[("data", "/c")]).load().unwrap();
    assert_eq!(config.data, Path::new("/c"));
    assert_eq!(config.connections_max, 5);
    assert_eq!(config.engine.flush_rows_max, 20);
    assert_eq!(config.engine.flush_bytes_max, ByteSize(1 << 20));
    assert_eq!(config.http_hosts, ["a.example", "b.example"]);
    assert_eq!(config.query, Config::default().query);
}

#[test]
fn every_problem_is_reported_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("outcrop.toml");
    std::fs::write(&file, "dta = 1\nconnections_max = \"many\"\n[engine]\nstall_max = \"soon\"\n").unwrap();
    let environment = [("OUTCROP_ENGINE_FLUSH_ROWS", "1"), ("OUTCROP_NETWORK_THREADS", "two")];
    let problems = sources(Some(&file), &environment, &[]).load().unwrap_err();
    let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
    assert_eq!(texts.len(), 5, "{texts:#?}");
    for place in ["dta", "connections_max", "engine.stall_max", "OUTCROP_ENGINE_FLUSH_ROWS", "network_threads"] {
        assert!(texts.iter().any(|text| text.contains(place)), "{place} in {texts:#?}");
    }

    let config = Config {
        pg_listen: "nowhere".to_owned(),
        connections_max: 0,
        body_memory_bytes: Share(Some(ByteSize(1 << 10))),
        data: directory.path().to_path_buf(),
        ..Config::default()
    };
    let problems = config.check().unwrap_err();
    let places: Vec<&str> = problems.iter().map(super::ConfigProblem::place).collect();
    assert_eq!(places, ["pg_listen", "connections_max", "body_memory_bytes"]);
}

#[test]
fn the_memory_budget_is_divided_and_parts_that_are_named_are_kept() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_path_buf();
    let size = |bytes| Share(Some(ByteSize(bytes)));
    let mut config = Config { data, memory_budget: size(4 << 30), ..Config::default() };
    let all = |config: &Config| {
        let checked = config.check().unwrap();
        let parts = [
            checked.engine.memtable_bytes_max,
            checked.engine.page_cache_bytes,
            checked.database.memory_bytes,
            checked.server.body_memory_bytes,
            checked.server.result_memory_bytes as u64,
        ];
        (parts, parts.iter().sum::<u64>())
    };
    let (parts, sum) = all(&config);
    assert!(((4 << 30) - 5..=4 << 30).contains(&sum), "{parts:?}");
    assert!(parts[2] > parts[0] && parts[0] > 1_000 << 20 && parts[3] > 86 << 20, "{parts:?}");
    config.query.memory_bytes = size(3 << 30);
    let (parts, sum) = all(&config);
    assert_eq!(parts[2], 3 << 30);
    assert!(((4 << 30) - 5..=4 << 30).contains(&sum), "{parts:?}");
    config.memory_budget = size(3 << 30);
    let problems = config.check().unwrap_err();
    assert!(problems[0].to_string().starts_with("memory_budget: 3GiB is less than its parts need: "), "{problems:?}");
    // Half of the machine, and never less than what is named.
    config.memory_budget = Share(None);
    config.query.memory_bytes = size(1 << 39);
    assert_eq!(all(&config).0[2], 1 << 39);
    config.query.memory_bytes = Share(None);
    let (parts, sum) = all(&config);
    assert!(sum >= 200 << 20 && parts.iter().all(|part| *part > 0), "{parts:?}");
    for (text, share) in [("\"auto\"", Share(None)), ("\"4GiB\"", size(4 << 30)), ("17", size(17))] {
        let read: Config = toml::from_str(&format!("memory_budget = {text}")).unwrap();
        assert_eq!(read.memory_budget, share);
    }
    assert!(toml::from_str::<Config>("memory_budget = \"much\"").is_err());
}

#[test]
fn a_missing_file_is_a_problem_with_its_name() {
    let problems = sources(Some(Path::new("/does/not/exist.toml")), &[], &[]).load().unwrap_err();
    assert!(problems[0].to_string().starts_with("/does/not/exist.toml: cannot be read"), "{problems:?}");
}

#[test]
fn other_addresses_than_loopback_need_users() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config { data: directory.path().to_path_buf(), ..Config::default() };
    config.pg_listen = "0.0.0.0:0".to_owned();
    config.http_listen = "[::]:0".to_owned();
    let problems = config.check().unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
    assert!(problems[0].to_string().contains("outcrop user add"), "{problems:?}");

    let key = format!("[[api_key]]\nname = \"ci\"\nuser = \"ci\"\nsha256 = \"{}\"\n", "0".repeat(64));
    std::fs::write(directory.path().join("users.toml"), key).unwrap();
    let checked = config.check().unwrap();
    assert!(matches!(checked.server.authentication, Authentication::Users(_)));
}

#[test]
fn a_faulty_users_file_never_means_trust() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("users.toml"), "[[user]]\nname = 1\n").unwrap();
    let config = Config { data: directory.path().to_path_buf(), ..Config::default() };
    assert!(config.check().is_err());
    let config = Config { users_file: directory.path().join("absent.toml"), ..config };
    assert!(config.check().is_err(), "a users file that is named must be there");
}

#[test]
fn half_of_tls_is_a_problem() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = Config { data: directory.path().to_path_buf(), ..Config::default() };
    config.tls.certificate = directory.path().join("none.pem");
    let problems = config.check().unwrap_err();
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn http_may_be_off() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config { data: directory.path().to_path_buf(), http_listen: "off".to_owned(), ..Config::default() };
    assert_eq!(config.check().unwrap().server.http_listen, None);
}
