using System.Diagnostics.CodeAnalysis;
using System.Reflection;
using System.Runtime.CompilerServices;
using System.Text;

namespace NodeLock.Tests.Conventions;

/// <summary>Prints what an assembly offers, one line each, in an order that does not depend on the source's.</summary>
/// <remarks>What the compiler adds to records is left out; that they are records is said.</remarks>
internal static class PublicApi
{
    private const BindingFlags Declared = BindingFlags.Public | BindingFlags.NonPublic | BindingFlags.Instance
        | BindingFlags.Static | BindingFlags.DeclaredOnly;

    public static string Print(Assembly assembly)
    {
        StringBuilder text = new();
        foreach (Type type in assembly.GetExportedTypes().OrderBy(t => t.FullName, StringComparer.Ordinal))
        {
            if (text.Length > 0) text.Append('\n');
            text.Append(Experimental(type)).Append(Head(type)).Append('\n');
            foreach (string member in Members(type).Order(StringComparer.Ordinal))
                text.Append("    ").Append(member).Append('\n');
        }

        return text.ToString();
    }

    /// <summary>The lines of a print, each member's with its type before it, to compare with another's.</summary>
    public static IReadOnlyList<string> Lines(string print)
    {
        string type = "";
        List<string> lines = [];
        foreach (string line in print.Split('\n', StringSplitOptions.RemoveEmptyEntries))
        {
            if (!line.StartsWith(' ')) type = line;
            lines.Add(line.StartsWith(' ') ? $"{type} {{ {line.Trim()} }}" : line);
        }

        return lines;
    }

    private static string Head(Type type)
    {
        string kind = type switch
        {
            { IsEnum: true } => "enum",
            { IsInterface: true } => "interface",
            { IsValueType: true } => $"{(Is<IsReadOnlyAttribute>(type) ? "readonly " : "")}{Record(type)}struct",
            { IsAbstract: true, IsSealed: true } => "static class",
            _ when typeof(Delegate).IsAssignableFrom(type) => "delegate",
            _ => $"{(type.IsAbstract ? "abstract " : type.IsSealed ? "sealed " : "")}{Record(type)}class",
        };
        List<string> bases = [];
        if (type.IsClass && type.BaseType is { } parent && parent != typeof(object)) bases.Add(ApiNames.Of(parent));
        if (!type.IsEnum)
        {
            bases.AddRange(type.GetInterfaces().Except(type.BaseType?.GetInterfaces() ?? [])
                .Where(i => i.IsVisible && !IsOfRecord(type, i)).Select(ApiNames.Of)
                .Order(StringComparer.Ordinal));
        }

        return $"{type.Namespace}: public {kind} {ApiNames.Nested(type)}{(bases.Count > 0 ? " : " : "")}"
            + string.Join(", ", bases);
    }

    private static IEnumerable<string> Members(Type type)
    {
        if (type.IsEnum)
            return Enum.GetNames(type).Select(n => $"{n} = {Enum.Format(type, Enum.Parse(type, n), "d")}");

        IEnumerable<string> constructors = type.GetConstructors(Declared).Where(IsOffered)
            .Where(c => !IsCopyConstructor(c))
            .Select(c => $"{Experimental(c)}{Access(c)}{ApiNames.Simple(type)}{ApiParameters.Of(c)}");
        IEnumerable<string> methods = type.GetMethods(Declared).Where(IsOffered)
            .Where(m => !Is<CompilerGeneratedAttribute>(m) && m.Name != "Finalize")
            .Where(m => !m.IsSpecialName || m.Name.StartsWith("op_", StringComparison.Ordinal))
            .Select(m => $"{Experimental(m)}{Access(m)}{Modifiers(m)}{Returned(m)} {m.Name}"
                + $"{ApiNames.GenericArguments(m)}{ApiParameters.Of(m)}{ApiNames.Constraints(m)}");
        IEnumerable<string> properties = type.GetProperties(Declared)
            .Where(p => p.GetAccessors(true).Any(IsOffered) && !Is<CompilerGeneratedAttribute>(p)).Select(Property);
        IEnumerable<string> fields = type.GetFields(Declared)
            .Where(f => (f.IsPublic || f.IsFamily || f.IsFamilyOrAssembly) && !f.IsSpecialName)
            .Select(f => $"public {(f.IsLiteral ? "const " : f.IsStatic ? "static " : "")}{ApiNames.Of(f.FieldType)} "
                + f.Name + (f.IsLiteral ? $" = {ApiParameters.Value(f.GetRawConstantValue(), f.FieldType)}" : ""));
        IEnumerable<string> events = type.GetEvents(Declared).Where(e => IsOffered(e.AddMethod!))
            .Select(e => $"event {ApiNames.Of(e.EventHandlerType!)} {e.Name}");
        return [.. constructors, .. methods, .. properties, .. fields, .. events];
    }

    private static string Property(PropertyInfo property)
    {
        MethodInfo accessor = property.GetAccessors(true).First(IsOffered);
        string required = Is<RequiredMemberAttribute>(property) ? "required " : "";
        string get = property.GetMethod is { } getter && IsOffered(getter) ? " get;" : "";
        string set = property.SetMethod is { } setter && IsOffered(setter)
            ? setter.ReturnParameter.GetRequiredCustomModifiers().Contains(typeof(IsExternalInit)) ? " init;" : " set;"
            : "";
        return $"{Experimental(property)}{Access(accessor)}{Modifiers(accessor)}{required}"
            + $"{ApiNames.Of(new NullabilityInfoContext().Create(property))} {property.Name} {{{get}{set} }}";
    }

    private static string Returned(MethodInfo method) =>
        ApiNames.Of(new NullabilityInfoContext().Create(method.ReturnParameter));

    private static bool IsOffered(MethodBase method) => method.IsPublic || method.IsFamily || method.IsFamilyOrAssembly;

    private static bool IsCopyConstructor(ConstructorInfo constructor) => Record(constructor.DeclaringType!) != ""
        && constructor.GetParameters() is [{ } only] && only.ParameterType == constructor.DeclaringType;

    private static string Access(MethodBase method) =>
        method.DeclaringType!.IsInterface ? "" : method.IsPublic ? "public " : "protected ";

    private static string Modifiers(MethodInfo method)
    {
        if (method.IsStatic) return "static ";
        if (method.DeclaringType!.IsInterface) return "";
        if (method.GetBaseDefinition() != method) return "override ";
        return method.IsAbstract ? "abstract " : method is { IsVirtual: true, IsFinal: false } ? "virtual " : "";
    }

    private static string Record(Type type) => type.GetMethod("PrintMembers", Declared) is null ? "" : "record ";

    private static bool IsOfRecord(Type type, Type face) =>
        Record(type) != "" && face == typeof(IEquatable<>).MakeGenericType(type);

    private static string Experimental(MemberInfo member) =>
        member.GetCustomAttribute<ExperimentalAttribute>() is { } mark ? $"[Experimental({mark.DiagnosticId})] " : "";

    private static bool Is<T>(MemberInfo member) where T : Attribute => member.IsDefined(typeof(T), inherit: false);
}
