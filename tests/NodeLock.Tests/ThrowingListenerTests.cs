using System.Diagnostics.Metrics;
using Xunit;

namespace NodeLock.Tests;

/// <summary>Who listens to the metrics is other people's code; what it throws costs no caller a scope or a node.</summary>
public sealed class ThrowingListenerTests : IAsyncDisposable
{
    private readonly World world = new();

    public ValueTask DisposeAsync() => world.DisposeAsync();

    [Fact]
    public async Task A_listener_that_throws_at_every_measurement_changes_nothing()
    {
        int thrown = 0;
        using MeterListener listener = new()
        {
            InstrumentPublished = (instrument, self) =>
            {
                if (instrument.Meter.Name == "NodeLock") self.EnableMeasurementEvents(instrument);
            },
        };
        listener.SetMeasurementEventCallback<int>((_, _, _, _) => Throw());
        listener.SetMeasurementEventCallback<double>((_, _, _, _) => Throw());
        listener.Start();

        await using (TaskScope task = await world.Manager.AcquireAsync(1, "measured")) task.EnsureHeld();

        Assert.True(thrown > 0);
        Assert.Null(await world.FindAsync(1));
        await using TaskScope next = await world.Manager.AcquireAsync(1, "again");
        next.EnsureHeld();

        void Throw()
        {
            Interlocked.Increment(ref thrown);
            throw new InvalidOperationException("from a listener");
        }
    }
}
