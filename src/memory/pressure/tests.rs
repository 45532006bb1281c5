use super::*;

const BUDGET: u64 = 100 << 20;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A monitor that has seen `used` every five seconds.
fn after(used: impl IntoIterator<Item = u64>) -> (Monitor, u64) {
    let mut monitor = Monitor::default();
    let mut last = 0;
    for (number, used) in used.into_iter().enumerate() {
        monitor.sample(Sample {
            at: seconds(5 * number as u64),
            used,
            budget: BUDGET,
        });
        last = used;
    }
    (monitor, last)
}

fn assess(used: impl IntoIterator<Item = u64>) -> Assessment {
    let (monitor, last) = after(used);
    monitor.assess(last, BUDGET)
}

#[test]
fn nothing_is_forecast_from_fewer_than_twelve_samples() {
    assert_eq!(assess(1..=11).forecast, None);
    assert_eq!(assess(1..=11).time_to_critical, None);
    assert!(assess(1..=12).forecast.is_some());
}

#[test]
fn a_straight_rise_is_foretold_exactly_and_surely() {
    // A million bytes every five seconds.
    let assessed = assess((1..=30).map(|step| step * 1_000_000));
    let forecast = assessed.forecast.unwrap();
    assert_eq!(forecast.used, [36_000_000, 42_000_000, 54_000_000]);
    assert!(forecast.confidence > 0.99);
    assert!((assessed.rate - 200_000.0).abs() < 1.0);
    let critical = (BUDGET as f64 * 0.95 - 30_000_000.0) / 200_000.0;
    let told = assessed.time_to_critical.unwrap().as_secs_f64();
    assert!((told - critical).abs() < 1.0, "{told} of {critical}");
}

#[test]
fn few_samples_and_scattered_ones_give_little_confidence() {
    let few = assess((1..=12).map(|step| step * 1_000_000));
    let confidence = few.forecast.unwrap().confidence;
    assert!((0.4..0.6).contains(&confidence), "{confidence}");
    let scattered = assess((1..=60).map(|step| step * 7_919 % 101 * 500_000));
    let confidence = scattered.forecast.unwrap().confidence;
    assert!(confidence < 0.2, "{confidence}");
}

#[test]
fn a_turn_is_followed_by_the_latest_samples() {
    let rise = (1..=40).map(|step| step * 1_000_000);
    let assessed = assess(rise.chain(std::iter::repeat_n(40_000_000, 20)));
    let forecast = assessed.forecast.unwrap();
    assert_eq!(forecast.used, [40_000_000; 3]);
    assert_eq!(assessed.time_to_critical, None);
}

#[test]
fn no_forecast_leaves_what_is_possible() {
    let falling = assess((0..20).map(|step| 40_000_000 - step * 2_000_000));
    assert_eq!(falling.forecast.unwrap().used[2], 0);
    let rising = assess((1..=20).map(|step| step * 5_000_000));
    assert_eq!(rising.forecast.unwrap().used[2], BUDGET);
}

#[test]
fn trends_are_told_by_the_change_of_each_sample() {
    let growing = |part: f64| {
        let mut used = 10_000_000.0;
        assess((0..20).map(|_| {
            used *= 1.0 + part;
            used as u64
        }))
        .trend
    };
    assert_eq!(growing(-0.01), Trend::Decreasing);
    assert_eq!(growing(-0.004), Trend::Stable);
    assert_eq!(growing(0.004), Trend::Stable);
    assert_eq!(growing(0.01), Trend::Increasing);
    assert_eq!(growing(0.019), Trend::Increasing);
    assert_eq!(growing(0.021), Trend::Critical);
    assert_eq!(assess([]).trend, Trend::Stable);
    assert_eq!(assess([5]).trend, Trend::Stable);
    assert_eq!(assess([0, 5]).trend, Trend::Critical);
}

#[test]
fn levels_begin_at_their_thresholds_and_these_can_be_changed() {
    let (mut monitor, _) = after([]);
    let level = |monitor: &Monitor, per_mille: u64| {
        monitor
            .assess(BUDGET / 1000 * per_mille + 1000, BUDGET)
            .level
    };
    let levels = [
        (0, Level::Normal),
        (699, Level::Normal),
        (700, Level::Monitor),
        (800, Level::Gentle),
        (900, Level::Aggressive),
        (949, Level::Aggressive),
        (950, Level::Emergency),
        (2000, Level::Emergency),
    ];
    for (per_mille, expected) in levels {
        assert_eq!(level(&monitor, per_mille), expected, "{per_mille}");
    }
    monitor.set_thresholds(Thresholds {
        monitor: 100,
        gentle: 200,
        aggressive: 300,
        emergency: 400,
    });
    assert_eq!(level(&monitor, 250), Level::Gentle);
    assert_eq!(level(&monitor, 400), Level::Emergency);
    // Without a limit there is no pressure.
    assert_eq!(monitor.assess(u64::MAX, 0).level, Level::Normal);
}

#[test]
fn thresholds_that_do_not_rise_are_refused() {
    let check = |numbers: [u32; 4]| {
        let [monitor, gentle, aggressive, emergency] = numbers;
        let thresholds = Thresholds {
            monitor,
            gentle,
            aggressive,
            emergency,
        };
        thresholds.check().is_ok()
    };
    assert!(Thresholds::default().check().is_ok());
    assert!(check([1, 2, 3, 1000]));
    for wrong in [
        [0, 2, 3, 4],
        [1, 1, 3, 4],
        [1, 3, 2, 4],
        [1, 2, 4, 4],
        [1, 2, 3, 1001],
    ] {
        assert!(!check(wrong), "{wrong:?}");
    }
}

#[test]
fn the_same_level_acts_again_only_after_its_time_of_grace_and_a_higher_one_at_once() {
    let mut monitor = Monitor::default();
    assert_eq!(monitor.escalate(seconds(0), Level::Normal), None);
    assert_eq!(
        monitor.escalate(seconds(1), Level::Gentle),
        Some(Level::Gentle)
    );
    assert_eq!(monitor.escalate(seconds(6), Level::Gentle), None);
    assert_eq!(
        monitor.escalate(seconds(7), Level::Aggressive),
        Some(Level::Aggressive)
    );
    assert_eq!(monitor.escalate(seconds(31), Level::Gentle), None);
    assert_eq!(
        monitor.escalate(seconds(37), Level::Gentle),
        Some(Level::Gentle)
    );
}

#[test]
fn a_sample_is_due_every_five_seconds_and_sixty_are_kept() {
    let (monitor, _) = after(0..200);
    assert!(!monitor.is_due(seconds(5 * 199 + 4)));
    assert!(monitor.is_due(seconds(5 * 199 + 5)));
    assert_eq!(monitor.assess(0, BUDGET).samples, WINDOW);
    assert!(Monitor::default().is_due(seconds(0)));
}

#[test]
fn another_budget_begins_another_window() {
    let (mut monitor, _) = after((1..=30).map(|step| step * 1000));
    monitor.sample(Sample {
        at: seconds(200),
        used: 1,
        budget: BUDGET / 2,
    });
    assert_eq!(monitor.assess(1, BUDGET / 2).samples, 1);
}
