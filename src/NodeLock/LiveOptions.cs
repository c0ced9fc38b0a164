using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Options;
using Microsoft.Extensions.Primitives;

namespace NodeLock;

/// <summary>The settings as the configuration has them now, or the last that were good.</summary>
/// <remarks>
/// Not <see cref="IOptionsMonitor{TOptions}"/>, nor ValidateOnStart, which brings one up: a monitor throws what does
/// not validate at whoever reloads the configuration, and again at each reader.
/// </remarks>
internal sealed class LiveOptions : IDisposable
{
    private readonly List<IDisposable> subscriptions = [];
    private NodeLockOptions current;
    private string? refused;

    /// <exception cref="OptionsValidationException">The values are out of bounds or do not fit together.</exception>
    public LiveOptions(NodeLockOptions options)
    {
        ValidateOptionsResult validation = new NodeLockOptionsValidator().Validate(null, options);
        if (validation.Failed)
            throw new OptionsValidationException(Options.DefaultName, typeof(NodeLockOptions), validation.Failures);
        current = options.Copy(); // which nobody can change unchecked
    }

    /// <exception cref="OptionsValidationException">The values are out of bounds or do not fit together.</exception>
    public LiveOptions(string name, IOptionsFactory<NodeLockOptions> factory,
        IEnumerable<IOptionsChangeTokenSource<NodeLockOptions>> sources, ILogger log)
    {
        current = factory.Create(name);
        foreach (IOptionsChangeTokenSource<NodeLockOptions> source in sources.Where(s => (s.Name ?? name) == name))
            subscriptions.Add(ChangeToken.OnChange(source.GetChangeToken, () => Reload(name, factory, log)));
    }

    public NodeLockOptions Current => Volatile.Read(ref current);

    public void Dispose() => subscriptions.ForEach(s => s.Dispose());

    private void Reload(string name, IOptionsFactory<NodeLockOptions> factory, ILogger log)
    {
        try
        {
            Volatile.Write(ref current, current.WithEdits(factory.Create(name)));
            refused = null;
        }
        // A value that cannot be bound fails before the validation does, and so may whoever configures in code. Thrown
        // from here it would reach whoever reloads the configuration, such as the watcher of a file.
        catch (Exception e)
        {
            // One edit of a file may be announced more than once.
            if (Interlocked.Exchange(ref refused, e.Message) != e.Message) log.ReloadRefused(e.Message);
        }
    }
}
