//! Uploads that are too long, too slow or too many, and answers that hold their part of a budget.

use super::*;

fn put_head(more: &str) -> String {
    format!("PUT /upload HTTP/1.1\r\nConnection: close\r\n{more}\r\n\r\n")
}

#[tokio::test]
async fn an_upload_is_as_long_as_it_may_be_and_no_longer() {
    let served = Served::start(8).await;
    let longest = vec![b'x'; UPLOAD.len_max];
    let answer = served.send(&put_head("Content-Length: 65536"), &longest).await;
    assert_eq!((answer.status(), answer.text()), (200, "65536"));
    assert_eq!(served.send(&put_head("Content-Length: 0"), b"").await.text(), "0");

    // Without a length it is noticed on the way; a client that first sends hears it, too.
    let chunked = |len: usize| [format!("{len:x}\r\n").as_bytes(), &vec![b'x'; len]].concat();
    let head = put_head("Transfer-Encoding: chunked");
    let right = [chunked(UPLOAD.len_max), b"\r\n0\r\n\r\n".to_vec()].concat();
    assert_eq!(served.send(&head, &right).await.text(), "65536");
    let long = [chunked(1 << 20), b"\r\n0\r\n\r\n".to_vec()].concat();
    let answer = served.send(&head, &long).await;
    assert_eq!((answer.status(), answer.text()), (413, "{\"error\":\"TooLong\"}\n"));
}

#[tokio::test]
async fn a_length_that_is_only_claimed_is_refused_before_a_byte_and_takes_no_room() {
    let served = Served::start(8).await;
    let _all = served.scales.try_weigh(BUDGET).unwrap();
    for claimed in ["65537", "9223372036854775807"] {
        let mut stream = served.sent(&put_head(&format!("Content-Length: {claimed}"))).await;
        // Nothing of it is sent. Who waited for room would hear 503 in ten seconds.
        let mut status = [0; 12];
        timeout(PATIENCE, stream.read_exact(&mut status)).await.unwrap().unwrap();
        assert_eq!(&status, b"HTTP/1.1 413", "{claimed}");
    }
    let answer = served.send(&put_head("Content-Length: 99999999999999999999"), b"").await;
    assert_eq!(answer.status(), 400, "no number");
}

#[tokio::test]
async fn a_slow_upload_and_a_broken_one_give_their_room_back() {
    let served = Served::start(8).await;
    let mut slow = served.sent(&(put_head("Content-Length: 9") + "x")).await;
    let mut broken = served.sent(&(put_head("Transfer-Encoding: chunked") + "zz\r\n")).await;
    assert_eq!(Answer::read(&mut broken).await.status(), 400);
    // The other one is being read, with its part of the budget.
    while served.scales.try_weigh(BUDGET).is_some() {
        tokio::task::yield_now().await;
    }
    tokio::time::pause();
    let began = Instant::now();
    let mut status = [0; 12];
    slow.read_exact(&mut status).await.unwrap();
    assert_eq!((&status, began.elapsed().as_secs()), (b"HTTP/1.1 408", 20));
    // What may still come is thrown away for five seconds more.
    assert!(served.scales.try_weigh(BUDGET).is_some());
    while slow.read(&mut [0; 512]).await.unwrap() > 0 {}
    assert_eq!(began.elapsed().as_secs(), 25);
}

#[tokio::test(start_paused = true)]
async fn who_finds_no_room_waits_ten_seconds_for_others() {
    let scales = Scales::new(BUDGET);
    let mut body = Body::from("x");
    let held = scales.weigh(BUDGET).await.unwrap();
    let began = Instant::now();
    let refused = scales.receive(&mut body, UPLOAD).await.unwrap_err();
    assert_eq!((refused, began.elapsed()), (BodyError::Busy, Duration::from_secs(10)));
    let given_back = async {
        tokio::time::sleep(Duration::from_secs(9)).await;
        drop(held);
    };
    let (received, ()) = tokio::join!(scales.receive(&mut body, UPLOAD), given_back);
    assert_eq!(received.unwrap().0, b"x");
}

#[tokio::test]
async fn an_answer_weighs_as_long_as_anybody_holds_it() {
    let scales = Scales::new(BUDGET);
    let weight: Weight = scales.weigh(100 << 10).await.unwrap();
    let bytes = weight.bytes(vec![b'x'; 100 << 10]);
    let shared = bytes.slice(..1);
    drop(bytes);
    assert!(scales.try_weigh(100 << 10).is_none(), "a part of it is still read");
    drop(shared);
    // More than there is weighs all that there is.
    let all = scales.weigh(usize::MAX).await.unwrap();
    assert!(scales.try_weigh(0).is_none());
    drop(all);
    assert!(scales.try_weigh(0).is_some());
}
