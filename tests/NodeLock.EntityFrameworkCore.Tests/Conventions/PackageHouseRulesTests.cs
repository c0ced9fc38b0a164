using System.Reflection;

namespace NodeLock.Tests.Conventions;

public sealed class PackageHouseRulesTests : HouseRules
{
    protected override Assembly Package => typeof(EntityFrameworkCoreNodeLockRepository).Assembly;

    protected override string ApprovedApi =>
        "tests/NodeLock.EntityFrameworkCore.Tests/Conventions/NodeLock.EntityFrameworkCore.approved.txt";
}
