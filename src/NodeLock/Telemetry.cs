using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace NodeLock;

/// <summary>Metrics and activities, both named <c>NodeLock</c>. Node ids are tags of activities, never of
/// metrics.</summary>
internal sealed class Telemetry
{
    public const string Name = "NodeLock";

    private static readonly ActivitySource Activities = new(Name);

    // From an acquire of a free node to a long hold; the usual default boundaries begin at 5.
    private static readonly InstrumentAdvice<double> Seconds = new()
    {
        HistogramBucketBoundaries =
            [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800],
    };

    private readonly KeyValuePair<string, object?> kind;
    private readonly Histogram<double> acquireDuration;
    private readonly Histogram<int> acquireAttempts;
    private readonly Histogram<double> holdDuration;
    private readonly UpDownCounter<int> held;
    private readonly UpDownCounter<int> waiting;
    private readonly Counter<int> lost;
    private readonly Counter<int> takenOver;

    public Telemetry(IMeterFactory? meters, string kind)
    {
        this.kind = new KeyValuePair<string, object?>("nodelock.kind", kind);
        Meter meter = meters?.Create(Name) ?? Shared.Meter;
        acquireDuration = meter.CreateHistogram("nodelock.acquire.duration", "s",
            "Time from an acquire to its outcome.", advice: Seconds);
        acquireAttempts = meter.CreateHistogram<int>("nodelock.acquire.attempts", "{attempt}",
            "Attempts that an acquire made, the first included.");
        holdDuration = meter.CreateHistogram("nodelock.hold.duration", "s",
            "Time from the grant of a node to the dispose of its task scope.", advice: Seconds);
        held = meter.CreateUpDownCounter<int>("nodelock.held", "{node}", "Nodes that task scopes hold.");
        waiting = meter.CreateUpDownCounter<int>("nodelock.waiting", "{acquire}", "Acquires that wait for a node.");
        lost = meter.CreateCounter<int>("nodelock.lost", "{node}", "Nodes lost while a task scope held them.");
        takenOver = meter.CreateCounter<int>("nodelock.taken_over", "{node}", "Nodes taken over from a conductor that "
            + "is dead or has left.");
    }

    /// <param name="name">What is done to the node: "acquire", "share", "upgrade", …</param>
    /// <param name="nodeId">The node.</param>
    /// <param name="purpose">What for.</param>
    public Activity? Start(string name, NodeId nodeId, string purpose)
    {
        Activity? activity = Activities.StartActivity($"nodelock.{name}");
        activity?.SetTag("nodelock.node", nodeId.ToString()).SetTag("nodelock.purpose", purpose)
            .SetTag(kind.Key, kind.Value);
        return activity;
    }

    public void Acquired(string name, string outcome, TimeSpan duration, int attempts) => Quietly(
        static (telemetry, acquire) =>
        {
            KeyValuePair<string, object?> how = new("nodelock.request", acquire.name);
            KeyValuePair<string, object?> tag = new("nodelock.outcome", acquire.outcome);
            telemetry.acquireDuration.Record(acquire.duration.TotalSeconds, telemetry.kind, how, tag);
            telemetry.acquireAttempts.Record(acquire.attempts, telemetry.kind, how, tag);
        }, (name, outcome, duration, attempts));

    public void Held() => Quietly(static (telemetry, by) => telemetry.held.Add(by, telemetry.kind), 1);

    public void HoldEnded(TimeSpan duration) => Quietly(static (telemetry, duration) =>
    {
        telemetry.held.Add(-1, telemetry.kind);
        telemetry.holdDuration.Record(duration.TotalSeconds, telemetry.kind);
    }, duration);

    public void WaitBegan() => Quietly(static (telemetry, by) => telemetry.waiting.Add(by, telemetry.kind), 1);

    public void WaitEnded() => Quietly(static (telemetry, by) => telemetry.waiting.Add(by, telemetry.kind), -1);

    public void Lost() => Quietly(static (telemetry, by) => telemetry.lost.Add(by, telemetry.kind), 1);

    public void TookOver() => Quietly(static (telemetry, by) => telemetry.takenOver.Add(by, telemetry.kind), 1);

    public void Stop(Activity? activity)
    {
        if (activity is not null) Quietly(static (_, activity) => activity.Dispose(), activity);
    }

    /// <summary>Listeners are other people's code: one that throws must not cost a caller the scope just
    /// granted.</summary>
    private void Quietly<T>(Action<Telemetry, T> measure, T what)
    {
        try
        {
            measure(this, what);
        }
        catch (Exception)
        {
            // Nothing of ours failed, and the listener's owner sees what it lacks.
        }
    }

    private static class Shared
    {
        public static readonly Meter Meter = new(Name);
    }
}
