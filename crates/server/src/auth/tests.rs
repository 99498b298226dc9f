use std::fmt;

use outcrop_env::Rng;

use super::{ScramFailure, ScramServer, Users, Verifier};

/// Always the same bytes.
struct Fixed(u8);

impl fmt::Debug for Fixed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Fixed")
    }
}

impl Rng for Fixed {
    fn next_u64(&self) -> u64 {
        u64::from(self.0)
    }

    fn fill(&self, bytes: &mut [u8]) {
        bytes.fill(self.0);
    }
}

const CLIENT_FIRST: &[u8] = b"n,,n=anna,r=rOprNGfwEbeRWgbNEkqO";

#[test]
fn the_verifier_of_rfc_7677_accepts_its_client_and_no_other_proof() {
    // RFC 7677 §3 with its salt and rounds; our nonce is another one, so the proof is made here as a client makes it.
    let verifier: Verifier = "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$\
        WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:wfPLwcE6nTWhTAmQ7tl2KeoiWGPlZqQxSrmfPwDl2dU="
        .parse()
        .unwrap();
    let begin = || ScramServer::begin(Some(verifier.clone()), "anna", &[7; 32], CLIENT_FIRST, &Fixed(1)).unwrap();
    let server = begin();
    assert!(server.server_first().starts_with("r=rOprNGfwEbeRWgbNEkqO"));
    assert!(server.server_first().ends_with(",s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096"));
    let nonce = server.server_first().split(',').next().unwrap().to_owned();
    let wrong = format!("c=biws,{nonce},p={}", "A".repeat(43) + "=");
    assert_eq!(server.finish(wrong.as_bytes()), Err(ScramFailure::Refused));
    for bad in
        ["c=biws", &format!("c=biws,r=x,p={}=", "A".repeat(43)), &format!("c=eSws,{nonce},p={}=", "A".repeat(43))]
    {
        assert!(matches!(begin().finish(bad.as_bytes()), Err(ScramFailure::Malformed(_))), "{bad}");
    }
}

#[test]
fn strangers_get_the_same_salt_each_time_and_are_refused_like_a_wrong_password() {
    let first = |name: &str| {
        let server = ScramServer::begin(None, name, &[7; 32], CLIENT_FIRST, &Fixed(1)).unwrap();
        server.server_first().to_owned()
    };
    assert_eq!(first("nobody"), first("nobody"));
    assert_ne!(first("nobody"), first("anybody"));
    let server = ScramServer::begin(None, "nobody", &[7; 32], CLIENT_FIRST, &Fixed(1)).unwrap();
    let nonce = server.server_first().split(',').next().unwrap().to_owned();
    let proof = format!("c=biws,{nonce},p={}=", "A".repeat(43));
    assert_eq!(server.finish(proof.as_bytes()), Err(ScramFailure::Refused));
}

#[test]
fn malformed_first_messages_are_refused() {
    for message in [
        b"".as_slice(),
        b"n,,n=a",
        b"n,,n=a,r=",
        b"p=tls-server-end-point,,n=a,r=x",
        b"n,a=other,n=a,r=x",
        b"\xff,,",
        b"n,,m=ext,n=a,r=x",
    ] {
        let begun = ScramServer::begin(None, "a", &[0; 32], message, &Fixed(1));
        assert!(matches!(begun, Err(ScramFailure::Malformed(_))), "{message:?}");
    }
}

#[test]
fn the_users_file_keeps_no_password_and_reads_back() {
    let mut users = Users::default();
    users.set_password("anna \"a\"", "first", &Fixed(1));
    users.set_password("anna \"a\"", "secret", &Fixed(2));
    let key = users.add_api_key("ci", "anna \"a\"", &Fixed(3));
    let text = users.to_text();
    assert!(!text.contains("\"secret\"") && !text.contains(&key), "{text}");
    let mut read = Users::parse(&text).unwrap();
    assert_eq!(read.users().len(), 1);
    assert_eq!(read.verifier("anna \"a\""), users.verifier("anna \"a\""));
    assert_eq!(read.user_of_key(&key), Some("anna \"a\""));
    assert_eq!(read.user_of_key("outcrop_00"), None);
    assert!(read.remove("anna \"a\"") && !read.remove("anna \"a\""));
    assert_eq!(read.user_of_key(&key), None);
}

#[test]
fn a_stranger_has_the_same_salt_over_restarts_and_changes_of_users() {
    let salt = |users: &Users, name: &str| {
        let server = ScramServer::begin(None, name, &users.stranger_secret(), CLIENT_FIRST, &Fixed(1)).unwrap();
        server.server_first().to_owned()
    };
    let mut users = Users::default();
    users.set_password("anna", "x", &Fixed(1));
    let before = salt(&users, "nobody");
    let mut read = Users::parse(&users.to_text()).unwrap();
    assert_eq!(salt(&read, "nobody"), before);
    read.set_password("bert", "y", &Fixed(2));
    read.remove("anna");
    assert_eq!(salt(&Users::parse(&read.to_text()).unwrap(), "nobody"), before);
    // A file from before there were secrets, or made by hand.
    let without: String =
        users.to_text().lines().filter(|line| !line.starts_with("secret")).collect::<Vec<_>>().join("\n");
    let by_hand = Users::parse(&without).unwrap();
    assert_eq!(salt(&by_hand, "nobody"), salt(&Users::parse(&without).unwrap(), "nobody"));
    assert_ne!(salt(&by_hand, "nobody"), before);
}

#[test]
fn a_faulty_users_file_is_refused() {
    for text in [
        "secret = \"ab\"",
        "[[user]]\nname = \"a\"\n",
        "[[user]]\nname = \"a\"\nverifier = \"plain\"\n",
        "[[user]]\nname = \"a\"\npassword = \"x\"\n",
        "what = 1",
    ] {
        assert_eq!(Users::parse(text).unwrap_err().condition().sqlstate(), "22023", "{text}");
    }
    let mut users = Users::default();
    users.set_password("a", "x", &Fixed(1));
    let text = users.to_text();
    let (_, user) = text.split_once("[[user]]").unwrap();
    let twice = format!("{text}\n[[user]]{user}");
    assert!(Users::parse(&twice).unwrap_err().message().contains("twice"));
}
