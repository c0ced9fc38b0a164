using System.Reflection;
using Microsoft.Extensions.Logging;
using Xunit;

namespace NodeLock.Tests.Conventions;

public sealed class NodeLockHouseRulesTests : HouseRules
{
    protected override Assembly Package => typeof(TaskManager).Assembly;

    protected override string ApprovedApi => "tests/NodeLock.Tests/Conventions/NodeLock.approved.txt";

    [Fact]
    public void The_core_knows_no_store() => Assert.DoesNotContain(Package.GetReferencedAssemblies(),
        a => a.Name!.Contains("EntityFramework") || a.Name.Contains("Npgsql"));

    [Fact]
    public void Log_messages_have_ids_of_their_own_below_100()
    {
        int[] ids = [.. typeof(Log).GetMethods().Select(m => m.GetCustomAttribute<LoggerMessageAttribute>())
            .OfType<LoggerMessageAttribute>().Select(a => a.EventId)];

        Assert.NotEmpty(ids);
        Assert.Equal(ids.Distinct(), ids);
        Assert.All(ids, id => Assert.InRange(id, 1, 99));
    }

    [Fact]
    public void Messages_about_a_reservation_name_the_node_the_purpose_and_the_token()
    {
        IEnumerable<ParameterInfo[]> about = typeof(Log).GetMethods().Select(m => m.GetParameters())
            .Where(p => p.Any(q => q.Name == "fencingToken"));

        Assert.NotEmpty(about);
        Assert.All(about, p => Assert.Contains(p, q => q.Name == "nodeId"));
        Assert.All(about, p => Assert.Contains(p, q => q.Name == "purpose"));
    }
}
