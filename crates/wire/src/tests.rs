use bytes::Bytes;
use outcrop_types::{Condition, Error};
use proptest::prelude::*;

use crate::{
    Bind, Encryption, Format, Frame, FrameReader, Frontend, Incoming, Request, STATEMENT_BYTES_MAX, Startup, Target,
};

fn parse(kind: u8, body: &[u8]) -> Result<Frontend, Error> {
    Frontend::parse(&Frame { kind, body: Bytes::copy_from_slice(body) })
}

fn state(result: Result<Frontend, Error>) -> &'static str {
    result.unwrap_err().condition().sqlstate()
}

#[test]
fn messages_are_understood() {
    assert_eq!(parse(b'Q', b"select 1\0").unwrap(), Frontend::Query("select 1".into()));
    assert_eq!(
        parse(b'P', b"s\0select $1\0\0\x01\0\0\0\x17").unwrap(),
        Frontend::Parse { name: "s".into(), sql: "select $1".into(), types: vec![23] }
    );
    assert_eq!(
        parse(b'B', b"p\0s\0\0\x01\0\x01\0\x02\0\0\0\x01x\xff\xff\xff\xff\0\0").unwrap(),
        Frontend::Bind(Bind {
            portal: "p".into(),
            statement: "s".into(),
            formats: vec![Format::Binary],
            parameters: vec![Some(Bytes::from_static(b"x")), None],
            result_formats: vec![],
        })
    );
    assert_eq!(parse(b'D', b"Ss\0").unwrap(), Frontend::Describe(Target::Statement("s".into())));
    assert_eq!(parse(b'C', b"P\0").unwrap(), Frontend::Close(Target::Portal(String::new())));
    assert_eq!(parse(b'E', b"\0\0\0\0\x05").unwrap(), Frontend::Execute { portal: String::new(), max_rows: Some(5) });
    assert_eq!(
        parse(b'E', b"\0\xff\xff\xff\xff").unwrap(),
        Frontend::Execute { portal: String::new(), max_rows: None }
    );
    assert_eq!(parse(b'd', b"any\xff").unwrap(), Frontend::CopyData(Bytes::from_static(b"any\xff")));
}

#[test]
fn malformed_messages_are_refused_each_with_its_code() {
    assert_eq!(state(parse(b'Q', b"select 1")), "08P01");
    assert_eq!(state(parse(b'Q', b"select 1\0more\0")), "08P01");
    assert_eq!(state(parse(b'Q', b"select '\xe4'\0")), "22021");
    assert_eq!(state(parse(b'P', b"\0\0\xff\xff")), "08P01");
    assert_eq!(state(parse(b'B', b"\0\0\0\0\0\x01\x7f\xff\xff\xff")), "08P01");
    assert_eq!(state(parse(b'B', b"\0\0\0\0\0\x01\xff\xff\xff\xfe")), "08P01");
    assert_eq!(state(parse(b'B', b"\0\0\0\x01\0\x02\0\0\0\0")), "22023");
    assert_eq!(state(parse(b'D', b"x\0")), "08P01");
    assert_eq!(state(parse(b'S', b"x")), "08P01");
    assert_eq!(state(parse(b'F', b"")), "0A000");
    assert_eq!(state(parse(b'?', b"")), "08P01");
    let mut long = vec![b' '; STATEMENT_BYTES_MAX + 1];
    long.push(0);
    assert_eq!(state(parse(b'Q', &long)), "54000");
}

#[tokio::test]
async fn a_length_is_checked_before_anything_is_read_for_it() {
    for length in [0_u32, 3, 105, u32::MAX] {
        let mut bytes = vec![b'Q'];
        bytes.extend(length.to_be_bytes());
        let mut reader = FrameReader::new(bytes.as_slice());
        let error = reader.next(100).await.unwrap_err();
        assert_eq!(error.condition(), Condition::ProtocolViolation);
        let mut reader = FrameReader::new(&bytes[1..]);
        assert!(reader.next_untyped(100).await.is_err());
    }
    let mut reader = FrameReader::new(b"S\0\0\0\x04Q\0\0\0\x05".as_slice());
    assert!(matches!(reader.next(100).await.unwrap(), Incoming::Message(Frame { kind: b'S', .. })));
    assert!(matches!(reader.next(100).await.unwrap(), Incoming::Closed), "half a frame at the end");
}

#[test]
fn the_startup_packet_is_understood() {
    let packet = b"\0\x03\0\x02user\0anna\0options\0-c a=b\\ c --work-mem=1 -cx=y\0TimeZone\0UTC\0_pq_.x\x001\0\0";
    assert_eq!(
        Request::parse(&Bytes::from_static(packet)).unwrap(),
        Request::Start(Startup {
            minor_version: 2,
            user: "anna".into(),
            database: "anna".into(),
            settings: [("a", "b c"), ("work_mem", "1"), ("x", "y"), ("TimeZone", "UTC")]
                .map(|(name, value)| (name.to_owned(), value.to_owned()))
                .to_vec(),
            unknown_options: vec!["_pq_.x".into()],
        })
    );
    let request = |bytes: &'static [u8]| Request::parse(&Bytes::from_static(bytes));
    assert_eq!(request(b"\x04\xd2\x16\x2f").unwrap(), Request::Encrypt(Encryption::Tls));
    assert_eq!(request(b"\x04\xd2\x16\x30").unwrap(), Request::Encrypt(Encryption::Gss));
    let cancel = Request::Cancel(7, Bytes::from_static(&[1, 2, 3, 4]));
    assert_eq!(request(b"\x04\xd2\x16\x2e\0\0\0\x07\x01\x02\x03\x04").unwrap(), cancel);
    for (bytes, state) in [
        (b"".as_slice(), "08P01"),
        (b"\0\x02\0\0", "0A000"),
        (b"\0\x03\0\0", "08P01"),
        (b"\0\x03\0\0\0", "28000"),
        (b"\0\x03\0\0user\0", "08P01"),
        (b"\0\x03\0\0user\0\xff\0\0", "22021"),
        (b"\0\x03\0\0user\0a\0replication\0true\0\0", "0A000"),
        (b"\0\x03\0\0user\0a\0options\0-x\0\0", "22023"),
    ] {
        assert_eq!(request(bytes).unwrap_err().condition().sqlstate(), state, "{bytes:?}");
    }
}

proptest! {
    #[test]
    fn any_body_is_a_message_or_an_error(kind: u8, body: Vec<u8>) {
        drop(parse(kind, &body));
    }

    #[test]
    fn any_startup_packet_is_a_request_or_an_error(body: Vec<u8>, known: bool) {
        let body = if known { [b"\0\x03\0\0".as_slice(), &body, b"\0"].concat() } else { body };
        drop(Request::parse(&Bytes::from(body)));
    }
}
